//! `stats`: the numbers monitoring programs know, and larder's own.
//!
//! Names and order are those of memcached (see `docs/reference/protocol.md`). A number that has no meaning here is a
//! steady 0.

use std::fmt::{Display, Write};

use larder_engine::{EngineError, ErrorKind, MemoryUse, Operation, Reply, StatLines, StatsSink};
use larder_protocol::{Form, ProtocolError, Response};

use crate::command::{Close, Turn, engines, fail};
use crate::connection::output::Output;

mod classes;
mod general;
mod guarded;
mod own;
mod settings;

/// Answers `stats argument`. `false`: there is no such group here, or it is the general one: engines may know more.
pub(crate) fn answer(turn: &Turn<'_>, form: &Form<'_>, argument: &[u8], out: &mut Output) -> bool {
    let mut lines = Lines::new(form, out);
    match argument {
        b"settings" => settings::lines(turn, &mut lines),
        b"items" => classes::items(turn, &mut lines),
        b"slabs" => classes::slabs(turn, &mut lines),
        b"sizes" => lines.stat("sizes_status", &"disabled"),
        b"larder" => own::lines(turn, &mut lines),
        b"reset" => {
            turn.shared().reset_counters();
            out.answer(form, &Response::Reset);
            return true;
        }
        _ => match argument.strip_prefix(b"detail") {
            Some(rest) if rest.is_empty() || rest[0] == b' ' => {
                detail(turn, form, rest.trim_ascii(), out);
                return true;
            }
            _ => return false,
        },
    }
    out.answer(form, &Response::StatEnd);
    true
}

/// Groups that are memcached's; no engine is asked for one of them.
const RESERVED_GROUPS: [&[u8]; 2] = [b"connections", b"conns"];

/// Asks the engines for a group that is none of the server's, or for what they add to the general one; an answer later, or
/// one at once. Of several engines each line of the general one says whose it is.
pub(crate) fn ask_engines(turn: &Turn<'_>, group: &[u8]) -> Reply<StatLines> {
    let is_reserved = RESERVED_GROUPS.contains(&group) || group.starts_with(b"cachedump");
    if is_reserved {
        return Reply::failed(ErrorKind::Unsupported);
    }
    let says_whose = group.is_empty() && engines(turn.routes).nth(1).is_some();
    let mut answers = Vec::new();
    let mut waits = false;
    for (number, engine) in engines(turn.routes).enumerate() {
        let prefix = if says_whose { format!("stack:{number}:") } else { String::new() };
        let reply = engine.stats_group(&turn.context(), group);
        waits |= matches!(reply, Reply::Pending(_));
        answers.push((prefix, reply));
    }
    let mut gathered = Gathered::default();
    if !waits {
        for (prefix, answer) in answers {
            if let Reply::Ready(answer) = answer {
                gathered.take(&prefix, answer);
            }
        }
        return Reply::Ready(gathered.finish());
    }
    Reply::Pending(Operation::driven(&turn.state.worker, async move {
        for (prefix, answer) in answers {
            let answer = match answer {
                Reply::Ready(answer) => answer,
                Reply::Pending(operation) => operation.await,
            };
            gathered.take(&prefix, answer);
        }
        gathered.finish()
    }))
}

/// What the engines said of a group.
#[derive(Default)]
struct Gathered {
    lines: Option<StatLines>,
    error: Option<EngineError>,
}

impl Gathered {
    fn take(&mut self, prefix: &str, answer: Result<StatLines, EngineError>) {
        match answer {
            Ok(lines) => {
                let lines = lines.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value));
                self.lines.get_or_insert_default().extend(lines);
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }

    fn finish(self) -> Result<StatLines, EngineError> {
        match (self.error, self.lines) {
            (Some(error), _) => Err(error),
            (None, Some(lines)) => Ok(lines),
            (None, None) => Err(ErrorKind::Unsupported.into()),
        }
    }
}

/// Writes what the engines said of a group, the general one behind the server's own numbers.
pub(crate) fn tell_group(
    turn: &Turn<'_>,
    form: &Form<'_>,
    is_general: bool,
    answer: Result<StatLines, EngineError>,
    out: &mut Output,
) -> Result<(), Close> {
    match answer {
        Ok(stats) => {
            if is_general {
                general::lines(turn, &mut Lines { of_engines: &stats, ..Lines::general(turn, form, out) });
            }
            let mut lines = Lines::new(form, out);
            stats.iter().for_each(|(name, value)| lines.stat(name, value));
            out.answer(form, &Response::StatEnd);
            Ok(())
        }
        Err(error) if is_general && error.kind() == ErrorKind::Unsupported => {
            general::lines(turn, &mut Lines::general(turn, form, out));
            out.answer(form, &Response::StatEnd);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            out.answer(form, &Response::Error(ProtocolError::UnknownCommand));
            Ok(())
        }
        Err(error) => fail(turn, form, &error, out),
    }
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
    /// Lines that stand in the place of the server's own of the same names.
    of_engines: &'a [(String, String)],
}

impl<'a> Lines<'a> {
    fn new(form: &'a Form<'a>, out: &'a mut Output) -> Self {
        Lines { form, out, text: String::new(), left_out: &[], of_engines: &[] }
    }

    fn general(turn: &Turn<'_>, form: &'a Form<'a>, out: &'a mut Output) -> Self {
        Lines { left_out: general::left_out(&turn.shared().options.accepted), ..Lines::new(form, out) }
    }
}

impl StatsSink for Lines<'_> {
    fn stat(&mut self, name: &str, value: &dyn Display) {
        if self.left_out.contains(&name) || self.of_engines.iter().any(|(known, _)| known == name) {
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
