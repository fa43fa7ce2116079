//! `stats`: the numbers monitoring programs know, and larder's own.
//!
//! Names and order are those of memcached (see `docs/reference/protocol.md`). A number that has no meaning here is a
//! steady 0.

use std::fmt::{Display, Write};

use larder_engine::{MemoryUse, StatsSink};
use larder_protocol::{Form, ProtocolError, Response};

use crate::command::{Turn, engines};
use crate::connection::output::Output;

mod classes;
mod general;
mod guarded;
mod own;
mod settings;

/// Answers `stats [argument]`.
pub(crate) fn answer(turn: &Turn<'_>, form: &Form<'_>, argument: &[u8], out: &mut Output) {
    let mut lines = Lines { form, out, text: String::new(), left_out: &[] };
    match argument {
        b"" => {
            lines.left_out = general::left_out(&turn.shared().options.accepted);
            general::lines(turn, &mut lines);
        }
        b"settings" => settings::lines(turn, &mut lines),
        b"items" => classes::items(turn, &mut lines),
        b"slabs" => classes::slabs(turn, &mut lines),
        b"sizes" => lines.stat("sizes_status", &"disabled"),
        b"larder" => own::lines(turn, &mut lines),
        b"reset" => {
            turn.shared().reset_counters();
            out.answer(form, &Response::Reset);
            return;
        }
        _ => match argument.strip_prefix(b"detail") {
            Some(rest) if rest.is_empty() || rest[0] == b' ' => {
                return detail(turn, form, rest.trim_ascii(), out);
            }
            _ => {
                out.answer(form, &Response::Error(ProtocolError::UnknownCommand));
                return;
            }
        },
    }
    out.answer(form, &Response::StatEnd);
}

/// Answers `stats detail on|off|dump`.
fn detail(turn: &Turn<'_>, form: &Form<'_>, argument: &[u8], out: &mut Output) {
    let shared = turn.shared();
    let is_binary = matches!(form, Form::Binary(_));
    let done = if is_binary { Response::StatEnd } else { Response::Ok };
    let response = match argument {
        _ if !shared.options.dump_allowed => Response::Error(ProtocolError::StatsDetailNotAllowed),
        b"on" | b"off" => {
            shared.detail.switch(argument == b"on");
            done
        }
        b"dump" if is_binary => {
            let mut text = Vec::new();
            shared.detail.dump(&mut text);
            out.answer(form, &Response::Stat { name: b"detailed", value: &text });
            Response::StatEnd
        }
        b"dump" => return shared.detail.dump(&mut out.bytes),
        _ => Response::Error(ProtocolError::StatsDetailUsage),
    };
    out.answer(form, &response);
}

/// Encodes statistics one by one.
struct Lines<'a> {
    form: &'a Form<'a>,
    out: &'a mut Output,
    text: String,
    /// Names that this server does not report.
    left_out: &'static [&'static str],
}

impl StatsSink for Lines<'_> {
    fn stat(&mut self, name: &str, value: &dyn Display) {
        if self.left_out.contains(&name) {
            return;
        }
        self.text.clear();
        write!(self.text, "{value}").expect("writing to a string cannot fail");
        let response = Response::Stat { name: name.as_bytes(), value: self.text.as_bytes() };
        self.out.answer(self.form, &response);
    }
}

impl Lines<'_> {
    fn zeros(&mut self, names: &str) {
        for name in names.split_ascii_whitespace() {
            self.stat(name, &0);
        }
    }

    fn numbers(&mut self, pairs: &[(&str, u64)]) {
        for (name, value) in pairs {
            self.stat(name, value);
        }
    }
}

fn memory(turn: &Turn<'_>) -> MemoryUse {
    engines(turn.routes).map(|engine| engine.memory_use()).fold(MemoryUse::default(), MemoryUse::plus)
}
