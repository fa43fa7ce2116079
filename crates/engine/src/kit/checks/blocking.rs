//! What a worker may not do in a call.

use crate::engine::Ordering;
use crate::kit::calls::{Tally, watched};
use crate::kit::checks::Subject;
use crate::kit::command::{Command, delete, get, increment, set, store, touch};
use crate::kit::diagnosis::Diagnosis;
use crate::kit::driver::Driver;
use crate::kit::failure::{Failure, Verdict, require_or};
use crate::request::{Get, Mode, ScanOrder};
use crate::time::Expiry;

/// Calls of each method. A thread may have to wait now and then for a lock that another holds for moments; a method that
/// makes it wait in every other call does so by design.
const CALLS: u32 = 100;

/// No method puts its worker's thread to sleep: it waits for no disk, no network, no time, and no lock held over them.
///
/// Seen by how often the system took the thread off its processor because it waited: no clock is involved. Engines that
/// ask for one call at a time for a connection ([`Ordering::PerConnection`]) are served in the worker's own time by
/// contract, and are not judged.
pub fn methods_do_not_block(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        if driver.engine().describe().ordering == Ordering::PerConnection {
            subject.note("not judged: this engine asks to be called on the worker, and may block it");
            return Ok(());
        }
        let (verdict, tally) = watched(|| call_everything(driver));
        verdict?;
        match tally {
            Some(tally) => judge(&tally),
            None => {
                subject.note("not judged: this system does not tell how often a thread has waited");
                Ok(())
            }
        }
    })
}

fn call_everything(driver: &mut Driver) -> Verdict {
    driver.stored(set(b"n", b"0"))?;
    for number in 0..CALLS {
        let key = format!("k{number}");
        let key = key.as_bytes();
        driver.stored(set(key, b"value"))?;
        driver.stored(store(Mode::Append, key, b" and more"))?;
        driver.hit(get(key))?;
        driver.misses(b"nothing")?;
        driver.number(increment(b"n", 1))?;
        driver.run(touch(key, Expiry::NEVER))?;
        driver.run(Command::Flush { prefix: Some(b"nobody".to_vec()), when: None })?;
        let (executor, client) = (driver.executor(), driver.client());
        executor.block_on(client.get_many(&[b"n", key, b"nothing"], &Get::plain()));
        executor
            .block_on(client.scan(ScanOrder::Any, None, 100))
            .map_err(|error| Failure::new(format!("scan failed: {error:?}")))?;
        driver.deleted(delete(key))?;
    }
    Ok(())
}

fn judge(tally: &Tally) -> Verdict {
    for (method, count) in tally {
        require_or(Diagnosis::BlocksWorker, count.slept * 2 <= count.calls, || {
            format!(
                "`{method}` put the worker's thread to sleep in {} of {} calls\n  expected: it returns without waiting, \
                 with the answer or with `Reply::Pending`",
                count.slept, count.calls
            )
        })?;
    }
    Ok(())
}
