//! Commands without a key. Each is a barrier: every earlier request of the connection has been answered.

use larder_engine::engine::RawResponse;
use larder_engine::{ClockChange, Context, Engine, EngineError, Operation, Reply, Scope, Timestamp};
use larder_protocol::{
    Admin, Command, CrawlerCommand, ExpTime, Form, LruCommand, ProtocolError, Raw, Response, Sasl,
    ShutdownMode, SlabsCommand,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

use super::pending::{Kind, Pending};
use super::{Close, Turn, engines, fail, map, respond};
use crate::accepted::Accepted;
use crate::connection::output::Output;
use crate::dump::Classes;
use crate::sasl;
use crate::server::StopRequest;
use crate::stats;

/// Smallest limit `cache_memlimit` takes, in MiB.
const MEMLIMIT_MEGABYTES_MIN: u64 = 8;
/// Largest limit `cache_memlimit` takes: beyond it somebody wrote bytes.
const MEMLIMIT_MEGABYTES_MAX: u64 = 1_000_000_000;

/// Executes a command without a key. `Close` after what is in `out` has been sent.
pub(crate) fn execute_keyless(
    turn: &Turn<'_>,
    form: &Form<'_>,
    command: &Command<'_>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let response = match command {
        Command::Flush { delay } => return flush(turn, form, *delay, out),
        Command::Stats { argument } => {
            if stats::answer(turn, form, argument, out) {
                return Ok(None);
            }
            let is_general = argument.is_empty();
            return match stats::ask_engines(turn, argument) {
                Reply::Ready(answer) => stats::tell_group(turn, form, is_general, answer, out).map(|()| None),
                Reply::Pending(operation) => {
                    let operation = turn.under_way(operation);
                    Ok(Some(Pending::new(form, Kind::Stats { is_general, operation })))
                }
            };
        }
        Command::Version => Response::Version(turn.shared().options.version),
        Command::Verbosity { level } => {
            turn.shared().verbosity.store(*level, Ordering::Relaxed);
            Response::Ok
        }
        Command::Noop => Response::Noop,
        Command::Quit => {
            respond(form, &Response::Quit, out);
            return Err(Close);
        }
        Command::Shutdown(mode) => {
            let request = match mode {
                _ if !turn.tunables().shutdown_allowed => {
                    Err(Response::Error(ProtocolError::ShutdownNotEnabled))
                }
                ShutdownMode::Now => Ok(StopRequest::Now),
                ShutdownMode::Graceful => Ok(StopRequest::Graceful),
                ShutdownMode::Unknown => Err(Response::Error(ProtocolError::InvalidShutdownMode)),
            };
            match request {
                Ok(request) => {
                    turn.shared().request_stop(request);
                    return Ok(None);
                }
                Err(refusal) => refusal,
            }
        }
        Command::CacheMemlimit { megabytes } => memory_limit(turn, *megabytes),
        Command::Admin(Admin::RefreshCerts) if turn.shared().guard.tls_options().is_some() => {
            return Ok(Some(Pending::new(form, Kind::Refresh(refresh_certificates(turn)))));
        }
        Command::Admin(Admin::DebugTime(change)) => change_time(turn, map::clock_change(*change)),
        Command::Sasl(sasl) => return authenticate(turn, form, sasl, out),
        Command::Admin(admin) => administer(turn, admin),
        Command::Raw { key, packet } => return raw(turn, form, key, packet, out),
        _ => Response::Error(ProtocolError::UnknownCommand),
    };
    respond(form, &response, out);
    Ok(None)
}

/// A packet that only an engine knows: the one the key is routed to, else the first that knows any.
fn raw(
    turn: &Turn<'_>,
    form: &Form<'_>,
    key: &[u8],
    packet: &[u8],
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let routed = if key.is_empty() { None } else { turn.routes.route(key).map(|(stack, _)| stack) };
    let mut stacks = routed.into_iter().chain(turn.routes.stacks());
    let Some(stack) = stacks.find(|stack| stack.description.raw_commands) else {
        respond(form, &Response::Error(ProtocolError::UnknownCommand), out);
        return Ok(None);
    };
    match stack.engine.raw_command(&turn.context(), packet) {
        Reply::Ready(answer) => tell_raw(turn, form, answer, out).map(|()| None),
        Reply::Pending(operation) => Ok(Some(Pending::new(form, Kind::Raw(turn.under_way(operation))))),
    }
}

/// Encodes what an engine answered to a packet of its own; no response is silence.
pub(super) fn tell_raw(
    turn: &Turn<'_>,
    form: &Form<'_>,
    answer: Result<Vec<RawResponse>, EngineError>,
    out: &mut Output,
) -> Result<(), Close> {
    let responses = match answer {
        Ok(responses) => responses,
        Err(error) => return fail(turn, form, &error, out),
    };
    for RawResponse { status, cas, data_type, key, extras, body } in &responses {
        let raw = Raw { status: *status, data_type: *data_type, cas: *cas, extras, key, body };
        respond(form, &Response::Raw(raw), out);
    }
    Ok(())
}

/// Reads the certificates again, on a thread that may wait for the disk.
fn refresh_certificates(turn: &Turn<'_>) -> oneshot::Receiver<Result<(), String>> {
    let (sender, answer) = oneshot::channel();
    let (shared, now) = (turn.shared().clone(), turn.now);
    let started = std::thread::Builder::new().name("certificates".to_owned()).spawn(move || {
        let refreshed = shared.guard.refresh_certificates(now);
        // The client may have left meanwhile.
        let _ = sender.send(refreshed);
    });
    if let Err(error) = started {
        tracing::error!("certificates are not read again: no thread can be started: {error}");
    }
    answer
}

/// SASL on a connection that is known already. Whoever fails to become somebody else is nobody.
fn authenticate(
    turn: &Turn<'_>,
    form: &Form<'_>,
    command: &Sasl<'_>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let Some(users) = turn.shared().guard.users() else {
        respond(form, &Response::Error(ProtocolError::UnknownCommand), out);
        return Ok(None);
    };
    let outcome = sasl::judge(&users, turn.counters(), command);
    respond(form, &outcome.response(), out);
    match outcome {
        sasl::Outcome::Undecided(_) => Ok(None),
        sasl::Outcome::Entered(user) => {
            *turn.connection.user.lock() = Some(user);
            Ok(None)
        }
        sasl::Outcome::Refused => {
            *turn.connection.user.lock() = None;
            Err(Close)
        }
    }
}

/// Moves the server's clock, if it was started with one that tests may move.
fn change_time(turn: &Turn<'_>, change: ClockChange) -> Response<'static> {
    let shared = turn.shared();
    if shared.options.debug_commands && shared.clock.change(change) {
        Response::Ok
    } else {
        Response::Error(ProtocolError::UnknownCommand)
    }
}

/// There is no crawler to steer, no segmented LRU and no slabs: expired items go exactly when they are read, and in the
/// background. What is said to them is kept for `stats settings`.
fn administer(turn: &Turn<'_>, admin: &Admin<'_>) -> Response<'static> {
    let mut accepted = turn.shared().accepted.lock();
    match *admin {
        Admin::Crawler(CrawlerCommand::Enable) => accepted.lru_crawler = true,
        Admin::Crawler(CrawlerCommand::Disable) => accepted.lru_crawler = false,
        Admin::Crawler(CrawlerCommand::Crawl { .. }) if !accepted.lru_crawler => {
            return Response::Error(ProtocolError::CrawlerDisabled);
        }
        Admin::Crawler(CrawlerCommand::Crawl { classes }) if Classes::parse(classes).is_none() => {
            return Response::Error(ProtocolError::CrawlerBadClass);
        }
        Admin::Crawler(CrawlerCommand::Crawl { .. }) => {}
        Admin::Crawler(CrawlerCommand::Sleep { microseconds }) => {
            accepted.lru_crawler_sleep_us = microseconds
        }
        Admin::Crawler(CrawlerCommand::ToCrawl { items }) => accepted.lru_crawler_to_crawl = items,
        Admin::Lru(command) => keep(&mut accepted, command),
        Admin::Slabs(SlabsCommand::Automove { level }) => accepted.slab_automove = level.into(),
        Admin::Slabs(SlabsCommand::Reassign) => {
            return Response::Error(ProtocolError::SlabReassignmentDisabled);
        }
        _ => return Response::Error(ProtocolError::UnknownCommand),
    }
    Response::Ok
}

fn keep(accepted: &mut Accepted, command: LruCommand) {
    // A factor beyond what fits is shown as the largest that does.
    let hundredths = |factor: f64| (factor * 100.0).round() as u32;
    match command {
        LruCommand::Tune { hot_percent, warm_percent, hot_factor, warm_factor } => {
            (accepted.hot_percent, accepted.warm_percent) = (hot_percent, warm_percent);
            (accepted.hot_factor, accepted.warm_factor) = (hundredths(hot_factor), hundredths(warm_factor));
        }
        LruCommand::Mode { segmented } => accepted.lru_segmented = segmented,
        LruCommand::TempTtl { seconds } => accepted.temporary_ttl_seconds = u32::try_from(seconds).ok(),
    }
}

fn memory_limit(turn: &Turn<'_>, megabytes: u64) -> Response<'static> {
    if megabytes < MEMLIMIT_MEGABYTES_MIN {
        return Response::Error(ProtocolError::MemlimitTooSmall);
    }
    if megabytes > MEMLIMIT_MEGABYTES_MAX {
        return Response::Error(ProtocolError::MemlimitNotBytes);
    }
    let mut taken = false;
    for engine in engines(turn.routes) {
        taken |= engine.set_memory_limit(megabytes << 20).is_ok();
    }
    if taken {
        turn.shared().memory_bytes.store(megabytes << 20, Ordering::Relaxed);
    }
    if taken { Response::Ok } else { Response::Error(ProtocolError::UnknownCommand) }
}

/// Flushes every engine; acknowledged once each of them has done it.
fn flush(
    turn: &Turn<'_>,
    form: &Form<'_>,
    delay: ExpTime,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    turn.counters().cmd_flush.add(1);
    if !turn.shared().options.flush_allowed {
        respond(form, &Response::Error(ProtocolError::FlushNotAllowed), out);
        return Ok(None);
    }
    let when = delay.flush_at(turn.now.0).map(Timestamp);
    let mut pending = Vec::new();
    for engine in engines(turn.routes) {
        match flush_one(engine, &turn.context(), when) {
            Reply::Ready(Ok(())) => {}
            Reply::Ready(Err(error)) => return fail(turn, form, &error, out).map(|()| None),
            Reply::Pending(operation) => pending.push(operation),
        }
    }
    if pending.is_empty() {
        respond(form, &Response::Ok, out);
        return Ok(None);
    }
    let all = Operation::driven(&turn.state.worker, async move {
        let mut outcome = Ok(());
        for operation in pending {
            // Every engine is waited for; the first error is the answer.
            outcome = outcome.and(operation.await);
        }
        outcome
    });
    Ok(Some(Pending::new(form, Kind::Flush(turn.under_way(all)))))
}

fn flush_one(engine: &Arc<dyn Engine>, context: &Context<'_>, when: Option<Timestamp>) -> Reply<()> {
    match engine.flush(context, Scope::All, when) {
        Reply::Ready(answer) => Reply::Ready(answer.map(drop)),
        Reply::Pending(operation) => {
            let done = async move { operation.await.map(drop) };
            Reply::Pending(Operation::<()>::driven(context.worker, done))
        }
    }
}
