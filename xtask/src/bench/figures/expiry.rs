use anyhow::{Context, Result};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict, median};
use crate::bench::server::{Folder, Kind};

/// Windows of each sort.
const WINDOWS: usize = 5;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let stays = bench.items(200_000);
    let expires = bench.items(1_000_000);
    let seconds = bench.seconds_up_to(5.0);
    let folder = Folder::new("expiry")?;
    let server = bench.start(&Kind::Larder { store: "ram > sqlite", memory_mib: 2048 }, &folder)?;
    bench.fill(&server, &format!("--keys {stays}"))?;
    let gets = format!("--keys {stays} --mix get -P 1");
    let half = bench.load(&server, &format!("{gets} --seconds {seconds} --warm-up 1"))?.rate()? / 2.0;
    let window = format!("{gets} --seconds {seconds} --rate {half}");

    let (mut idle, mut expiring) = (Vec::new(), Vec::new());
    for _ in 0..WINDOWS {
        server.wait_until_quiet()?;
        idle.push(bench.load(&server, &window)?.p99_us()?);
        // A moment to come that the filling reaches before the items do.
        let patience = Duration::from_secs(10 + expires / 50_000);
        let when = SystemTime::now() + patience;
        let second = when.duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        bench.fill(&server, &format!("--keys {expires} --key-prefix x --exptime {second}"))?;
        let left = UNIX_EPOCH + Duration::from_secs(second);
        let left = left.duration_since(SystemTime::now()).context("filling took longer than expected")?;
        thread::sleep(left);
        expiring.push(bench.load(&server, &window)?.p99_us()?);
    }
    let ratio = median(&expiring) / median(&idle);
    Ok(vec![
        Verdict::new(
            format!("GET p99 while {expires} items expire, beside idle"),
            ratio,
            "x",
            Target::AtMost(2.0),
        )
        .from(format!(
            "{:.0} us beside {:.0} us at {half:.0}/s; {} rows purged",
            median(&expiring),
            median(&idle),
            server.larder_stat("purge_removed")?
        )),
    ])
}
