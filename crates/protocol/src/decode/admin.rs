//! Administrative commands of the classic text protocol. Nobody is in a hurry here.

use crate::request::*;
use crate::{ExpTime, ProtocolError};

use super::text::{invalid, text};
use super::tokens::{Arguments, parse_i64, parse_u64, trim};

/// Decodes the command of this name, if there is one; `rest` is what follows the name.
pub(super) fn decode<'a>(name: &[u8], rest: &'a [u8]) -> Option<Request<'a>> {
    let request = match name {
        b"version" => text(Command::Version, false),
        b"quit" => text(Command::Quit, false),
        b"stats" => text(Command::Stats { argument: trim(rest) }, false),
        b"flush_all" => flush_all(rest),
        b"verbosity" => verbosity(rest),
        b"cache_memlimit" => cache_memlimit(rest),
        b"shutdown" => shutdown(rest),
        b"lru_crawler" => answer(crawler(rest)),
        b"lru" => answer(lru(rest)),
        b"slabs" => answer(slabs(rest)),
        b"watch" => answer(watch(rest)),
        b"refresh_certs" => answer(Ok(Admin::RefreshCerts)),
        b"debugtime" => answer(debugtime(rest)),
        _ => return None,
    };
    Some(request)
}

fn answer<'a>(command: Result<Admin<'a>, ProtocolError>) -> Request<'a> {
    match command {
        Ok(admin) => text(Command::Admin(admin), false),
        Err(error) => invalid(error, false),
    }
}

/// `flush_all [<delay>] [noreply]`
fn flush_all<'a>(rest: &'a [u8]) -> Request<'a> {
    let arguments = Arguments::parse(rest, 0);
    match arguments.get(0).map_or(Some(0), parse_i64) {
        Some(delay) => text(Command::Flush { delay: ExpTime(delay) }, arguments.noreply),
        None => invalid(ProtocolError::InvalidExptime, arguments.noreply),
    }
}

/// `verbosity <level> [noreply]`
fn verbosity<'a>(rest: &'a [u8]) -> Request<'a> {
    let arguments = Arguments::parse(rest, 0);
    match arguments.get(0).and_then(parse_u64) {
        Some(level) => {
            let level = u32::try_from(level).unwrap_or(u32::MAX);
            text(Command::Verbosity { level }, arguments.noreply)
        }
        None => invalid(ProtocolError::BadCommandLine, arguments.noreply),
    }
}

/// `cache_memlimit <MiB> [noreply]`
fn cache_memlimit<'a>(rest: &'a [u8]) -> Request<'a> {
    const MEGABYTES_MIN: u64 = 8;
    const MEGABYTES_MAX: u64 = 1_000_000_000;
    let arguments = Arguments::parse(rest, 0);
    let command = match (arguments.get(0), arguments.get(0).and_then(parse_u64)) {
        (None, _) => Command::Invalid(ProtocolError::BadCommandLine),
        (_, None) => Command::Invalid(ProtocolError::UnknownCommand),
        (_, Some(..MEGABYTES_MIN)) => Command::Invalid(ProtocolError::MemlimitTooSmall),
        (_, Some(megabytes @ MEGABYTES_MIN..=MEGABYTES_MAX)) => Command::CacheMemlimit { megabytes },
        (_, Some(_)) => Command::Invalid(ProtocolError::MemlimitNotBytes),
    };
    text(command, arguments.noreply)
}

/// `shutdown [graceful]`
fn shutdown<'a>(rest: &'a [u8]) -> Request<'a> {
    let mode = match Arguments::parse(rest, usize::MAX).get(0) {
        None => ShutdownMode::Now,
        Some(b"graceful") => ShutdownMode::Graceful,
        Some(_) => ShutdownMode::Unknown,
    };
    text(Command::Shutdown(mode), false)
}

/// `lru_crawler <command> [<argument>]`
fn crawler(rest: &[u8]) -> Result<Admin<'_>, ProtocolError> {
    const SLEEP_MICROSECONDS_MAX: u64 = 1_000_000;
    let arguments = Arguments::parse(rest, usize::MAX);
    let number = |token: &[u8]| parse_u64(token).ok_or(ProtocolError::BadCommandLine);
    let command = match (arguments.get(0), arguments.get(1)) {
        (Some(b"enable"), _) => CrawlerCommand::Enable,
        (Some(b"disable"), _) => CrawlerCommand::Disable,
        (Some(b"sleep"), Some(token)) => match number(token)? {
            microseconds @ ..=SLEEP_MICROSECONDS_MAX => {
                CrawlerCommand::Sleep { microseconds: microseconds as u32 }
            }
            _ => return Err(ProtocolError::CrawlerSleepTooLong),
        },
        (Some(b"tocrawl"), Some(token)) => {
            let items = u32::try_from(number(token)?).map_err(|_| ProtocolError::BadCommandLine)?;
            CrawlerCommand::ToCrawl { items }
        }
        (Some(b"crawl"), Some(classes)) => CrawlerCommand::Crawl { classes },
        (Some(b"metadump"), Some(classes)) => CrawlerCommand::Dump { dump: Dump::Attributes, classes },
        (Some(b"mgdump"), Some(classes)) => CrawlerCommand::Dump { dump: Dump::MetaGet, classes },
        _ => return Err(ProtocolError::UnknownCommand),
    };
    Ok(Admin::Crawler(command))
}

/// `lru tune|mode|temp_ttl …`
fn lru(rest: &[u8]) -> Result<Admin<'_>, ProtocolError> {
    let arguments = Arguments::parse(rest, usize::MAX);
    let command = match (arguments.get(0), arguments.get(1)) {
        (Some(b"tune"), _) => tune(&arguments)?,
        (Some(b"mode"), Some(b"flat")) => LruCommand::Mode { segmented: false },
        (Some(b"mode"), Some(b"segmented")) => LruCommand::Mode { segmented: true },
        (Some(b"temp_ttl"), Some(seconds)) => {
            LruCommand::TempTtl { seconds: parse_i64(seconds).ok_or(ProtocolError::UnknownCommand)? }
        }
        _ => return Err(ProtocolError::UnknownCommand),
    };
    Ok(Admin::Lru(command))
}

/// `tune <hot%> <warm%> <hot factor> <warm factor>`
fn tune(arguments: &Arguments<'_>) -> Result<LruCommand, ProtocolError> {
    const PERCENT_MAX: u64 = 80;
    let percent = |index| arguments.get(index).and_then(parse_u64).ok_or(ProtocolError::UnknownCommand);
    let factor = |index| {
        let text = arguments.get(index).and_then(|token| std::str::from_utf8(token).ok());
        let factor: Option<f64> = text.and_then(|text| text.parse().ok());
        factor.filter(|factor| factor.is_finite()).ok_or(ProtocolError::UnknownCommand)
    };
    let (hot, warm, hot_factor, warm_factor) = (percent(1)?, percent(2)?, factor(3)?, factor(4)?);
    if hot.saturating_add(warm) > PERCENT_MAX {
        return Err(ProtocolError::LruPercentTooLarge);
    }
    if hot_factor <= 0.0 || warm_factor <= 0.0 {
        return Err(ProtocolError::LruFactorTooSmall);
    }
    Ok(LruCommand::Tune { hot_percent: hot as u32, warm_percent: warm as u32, hot_factor, warm_factor })
}

/// `slabs reassign <source> <destination>`, `slabs automove <level>`
fn slabs(rest: &[u8]) -> Result<Admin<'_>, ProtocolError> {
    let arguments = Arguments::parse(rest, usize::MAX);
    let command = match (arguments.get(0), arguments.get(1), arguments.get(2)) {
        (Some(b"reassign"), Some(_), Some(_)) => SlabsCommand::Reassign,
        (Some(b"automove"), Some(level), _) => match parse_u64(level) {
            Some(level @ 0..=2) => SlabsCommand::Automove { level: level as u8 },
            Some(_) => return Err(ProtocolError::UnknownCommand),
            None => return Err(ProtocolError::BadCommandLine),
        },
        (Some(b"automove"), None, _) => return Err(ProtocolError::BadCommandLine),
        _ => return Err(ProtocolError::UnknownCommand),
    };
    Ok(Admin::Slabs(command))
}

/// `watch <stream>*`
fn watch(rest: &[u8]) -> Result<Admin<'_>, ProtocolError> {
    let mut streams = WatchStreams::default();
    if trim(rest).is_empty() {
        streams.fetchers = true;
    }
    for name in (Keys { line: rest }) {
        match name {
            b"fetchers" => streams.fetchers = true,
            b"mutations" => streams.mutations = true,
            b"evictions" => streams.evictions = true,
            b"connevents" => streams.connevents = true,
            b"deletions" => streams.deletions = true,
            // Known streams in which nothing ever happens here.
            b"sysevents" | b"rawcmds" | b"proxyreqs" | b"proxyevents" | b"proxyuser" => {}
            _ => return Err(ProtocolError::UnknownCommand),
        }
    }
    Ok(Admin::Watch(streams))
}

/// `debugtime <seconds>|p|r`
fn debugtime(rest: &[u8]) -> Result<Admin<'_>, ProtocolError> {
    let change = match Arguments::parse(rest, usize::MAX).get(0) {
        Some(b"p") => ClockChange::Pause,
        Some(b"r") => ClockChange::Resume,
        Some(seconds) => {
            let seconds = parse_u64(seconds).and_then(|seconds| u32::try_from(seconds).ok());
            ClockChange::Forward { seconds: seconds.ok_or(ProtocolError::UnknownCommand)? }
        }
        None => return Err(ProtocolError::UnknownCommand),
    };
    Ok(Admin::DebugTime(change))
}
