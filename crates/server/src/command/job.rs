//! Commands whose answer goes on for long: the connection does nothing else meanwhile.

use larder_protocol::{Admin, Command, CrawlerCommand, Dump as DumpKind, Form, ProtocolError, Response};

use super::{Turn, respond};
use crate::connection::output::Output;
use crate::dump::{Classes, Dump, Room};
use crate::watch::{Streams, Watcher};

/// What a connection does instead of answering requests.
pub(crate) enum Job {
    /// Tells events, until the client leaves.
    Watch(Watcher),
    /// Lists items, then goes on.
    Dump(Dump),
}

/// What became of a command that might begin a job.
pub(crate) enum Start {
    /// It is none of those; nothing was answered.
    Other,
    /// It is answered, and there is nothing to do.
    Answered,
    /// It is answered, and the job begins.
    Job(Job),
}

/// Begins a job. `out` holds what is answered, and not sent, before it.
pub(crate) fn start(turn: &Turn<'_>, form: &Form<'_>, command: &Command<'_>, out: &mut Output) -> Start {
    let begun = match command {
        Command::Admin(Admin::Watch(streams)) => watch(turn, Streams::of(streams), out),
        Command::Admin(Admin::Crawler(CrawlerCommand::Dump { dump, classes })) => {
            begin_dump(turn, *dump, classes, out)
        }
        Command::Stats { argument } => match cachedump(form, argument) {
            Some(arguments) => return start_cachedump(turn, form, arguments, out),
            None => return Start::Other,
        },
        _ => return Start::Other,
    };
    match begun {
        Ok(job) => {
            respond(form, &Response::Ok, out);
            Start::Job(job)
        }
        Err(error) => {
            respond(form, &Response::Error(error), out);
            Start::Answered
        }
    }
}

/// Refuses a job to a client that has room for no more than an answer.
pub(crate) fn refuse_start(
    _turn: &Turn<'_>,
    form: &Form<'_>,
    command: &Command<'_>,
    out: &mut Output,
) -> Start {
    let error = match command {
        Command::Admin(Admin::Watch(_)) => ProtocolError::WatchNotAllowed,
        Command::Admin(Admin::Crawler(CrawlerCommand::Dump { dump, .. })) => dump_not_allowed(*dump),
        Command::Stats { argument } if cachedump(form, argument).is_some() => {
            dump_not_allowed(DumpKind::Size)
        }
        _ => return Start::Other,
    };
    respond(form, &Response::Error(error), out);
    Start::Answered
}

fn dump_not_allowed(kind: DumpKind) -> ProtocolError {
    match kind {
        DumpKind::Attributes => ProtocolError::MetadumpNotAllowed,
        DumpKind::MetaGet => ProtocolError::KeyDumpNotAllowed,
        DumpKind::Size => ProtocolError::CachedumpNotAllowed,
    }
}

fn watch(turn: &Turn<'_>, streams: Streams, out: &Output) -> Result<Job, ProtocolError> {
    if !turn.shared().options.watch_allowed {
        return Err(ProtocolError::WatchNotAllowed);
    }
    if !out.is_empty() {
        return Err(ProtocolError::PipelinedWatch);
    }
    turn.shared().watchers.join(streams).map(Job::Watch).ok_or(ProtocolError::TooManyWatchers)
}

fn begin_dump(turn: &Turn<'_>, kind: DumpKind, classes: &[u8], out: &Output) -> Result<Job, ProtocolError> {
    if !turn.shared().accepted.lock().lru_crawler {
        return Err(ProtocolError::CrawlerDisabled);
    }
    if !turn.shared().options.dump_allowed {
        return Err(dump_not_allowed(kind));
    }
    if !out.is_empty() {
        return Err(ProtocolError::PipelinedMetadump);
    }
    let classes = Classes::parse(classes).ok_or(ProtocolError::CrawlerBadClass)?;
    Dump::begin(turn, kind, classes, Room::ENDLESS).map(Job::Dump).ok_or(ProtocolError::CrawlerBusy)
}

/// What stands behind `stats cachedump`, if that is the statistic. The binary protocol has none of that name.
fn cachedump<'a>(form: &Form<'_>, argument: &'a [u8]) -> Option<&'a [u8]> {
    match (form, argument.strip_prefix(b"cachedump")) {
        (Form::Text(_), Some(rest)) if rest.is_empty() || rest[0] == b' ' => Some(rest),
        _ => None,
    }
}

/// Unlike other dumps it is an answer among others, and nothing stands before its first item.
fn start_cachedump(turn: &Turn<'_>, form: &Form<'_>, arguments: &[u8], out: &mut Output) -> Start {
    match begin_cachedump(turn, arguments) {
        Ok(job) => Start::Job(job),
        Err(error) => {
            respond(form, &Response::Error(error), out);
            Start::Answered
        }
    }
}

/// `<class> <limit>`
fn begin_cachedump(turn: &Turn<'_>, arguments: &[u8]) -> Result<Job, ProtocolError> {
    if !turn.shared().options.dump_allowed {
        return Err(ProtocolError::CachedumpNotAllowed);
    }
    let mut words = arguments.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (Some(class), Some(limit)) = (words.next(), words.next()) else {
        return Err(ProtocolError::BadStatsLine);
    };
    let number = |word: &[u8]| -> Option<u64> { std::str::from_utf8(word).ok()?.parse().ok() };
    let (Some(class), Some(items)) = (number(class), number(limit)) else {
        return Err(ProtocolError::BadCommandLine);
    };
    let classes = Classes::of_cachedump(class).ok_or(ProtocolError::IllegalSlabClass)?;
    Dump::begin(turn, DumpKind::Size, classes, Room::of_cachedump(items))
        .map(Job::Dump)
        .ok_or(ProtocolError::CrawlerBusy)
}
