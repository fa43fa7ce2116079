//! `stats larder`: what larder says of itself.

use larder_engine::{PrefixedStats, StatsSink};

use super::Lines;
use crate::command::Turn;

/// Each stack, its level, and what its engines say of themselves.
pub(super) fn lines(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    for (number, stack) in turn.routes.stacks().iter().enumerate() {
        let prefixes: Vec<_> = turn
            .routes
            .prefixes()
            .filter(|(_, other)| std::ptr::eq(&***other, &**stack))
            .map(|(prefix, _)| format!("\"{}\"", prefix.escape_ascii()))
            .collect();
        lines.stat(&format!("stack:{number}:expression"), &stack.expression);
        lines.stat(&format!("stack:{number}:prefixes"), &prefixes.join(","));
        lines.stat(&format!("stack:{number}:level"), &stack.description.level.word());
        lines.stat(&format!("stack:{number}:item_size_max"), &stack.description.item_size_max);
        let ready = stack.engine.ready().map_or_else(|error| error.text().to_owned(), |()| "yes".to_owned());
        lines.stat(&format!("stack:{number}:ready"), &ready);
        stack.engine.stats(&mut PrefixedStats { sink: &mut *lines, prefix: &format!("stack:{number}:") });
    }
    lines.stat("bytes_in_flight_max", &turn.shared().options.bytes_in_flight_max);
    lines.stat("bytes_in_flight", &turn.shared().bytes_in_flight());
    lines.stat("bytes_unsent", &turn.shared().unsent_bytes());
    lines.stat("store_errors", &turn.shared().totals().store_errors);
    lines.stat("idle_kicks", &turn.shared().totals().idle_kicks);
    lines.stat("connections_rested", &turn.shared().totals().rested);
    lines.stat("slow_uploads", &turn.shared().totals().slow_uploads);
}
