//! `larder check` and `larder backup`: work on the stores of a data folder from outside a server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use larder_engine::Services;
use larder_sqlite::{CheckReport, OnProgress, Progress, SqliteOptions, backup, stores_in};

/// `larder check DIR`: success when every store in the folder is sound.
pub fn check(folder: &Path) -> ExitCode {
    conclude(check_all(folder))
}

/// `larder backup DIR TO`: success when every store is copied, synced and readable.
pub fn back_up(folder: &Path, to: &Path) -> ExitCode {
    conclude(back_up_all(folder, to))
}

fn conclude(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("larder: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check_all(folder: &Path) -> anyhow::Result<bool> {
    let services = Services::system();
    let mut sound = true;
    for store in stores_below(&services, folder)? {
        let outcome =
            with_bar(&store.path(), |on_progress| larder_sqlite::check(&services, &store, on_progress));
        match outcome {
            Ok(report) => {
                sound &= report.is_sound();
                print_report(&report);
            }
            Err(error) => {
                sound = false;
                println!("{}: cannot be checked: {error}", store.path().display());
            }
        }
    }
    Ok(sound)
}

fn print_report(report: &CheckReport) {
    let stop =
        if report.stopped_cleanly { "stopped cleanly" } else { "not stopped cleanly, which is no fault" };
    println!(
        "{}: {} items, {} bytes of values, {} changes in {} journal batches not yet folded; {stop}",
        report.path.display(),
        report.items,
        report.value_bytes,
        report.journal_records,
        report.journal_batches
    );
    for finding in &report.findings {
        println!("  wrong: {finding}");
    }
    if report.findings_left_out > 0 {
        println!("  wrong: {} findings more", report.findings_left_out);
    }
    println!("  {}", if report.is_sound() { "sound" } else { "NOT sound: restore a backup" });
}

fn back_up_all(folder: &Path, to: &Path) -> anyhow::Result<bool> {
    let services = Services::system();
    let stores = stores_below(&services, folder)?;
    if services.disk.exists(to)? {
        bail!(
            "{}: exists already; name a folder that does not, so that no backup is overwritten",
            to.display()
        );
    }
    services.disk.create_folder(to)?;
    for store in stores {
        let from = store.path();
        let inside = from.strip_prefix(folder).unwrap_or(&from).to_owned();
        let target = to.join(&inside);
        if let Some(parent) = target.parent() {
            services.disk.create_folder(parent)?;
            services.disk.sync_folder(parent)?;
        }
        let report = with_bar(&from, |on_progress| backup(&services, &store, &target, on_progress))
            .with_context(|| {
                format!("{}: not copied; the backup in {} is incomplete", from.display(), to.display())
            })?;
        println!("{} -> {}: {} bytes", from.display(), report.path.display(), report.bytes);
    }
    services.disk.sync_folder(to)?;
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        services.disk.sync_folder(parent)?;
    }
    Ok(true)
}

/// The stores in a folder and the folders in it.
fn stores_below(services: &Services, folder: &Path) -> anyhow::Result<Vec<SqliteOptions>> {
    if !folder.is_dir() {
        bail!("{}: no such folder; name the folder that --data names", folder.display());
    }
    let mut stores = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for name in stores_in(services, &folder)? {
            stores.push(SqliteOptions { file_name: name, ..SqliteOptions::new(&folder) });
        }
        let inner = services.disk.list(&folder)?;
        folders.extend(inner.into_iter().filter(|path: &PathBuf| path.is_dir() && !path.is_symlink()));
    }
    if stores.is_empty() {
        bail!("{}: no store in this folder; name the folder that --data names", folder.display());
    }
    stores.sort_by_key(SqliteOptions::path);
    Ok(stores)
}

/// Shows a bar on a terminal while `work` goes on.
fn with_bar<T>(path: &Path, work: impl FnOnce(OnProgress<'_>) -> T) -> T {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} {msg} [{bar:30}] {pos}/{len} {eta}")
        .expect("the template is a constant");
    bar.set_style(style);
    bar.set_prefix(path.display().to_string());
    let outcome = work(&mut |progress: Progress| {
        bar.set_message(progress.step);
        if progress.total > 0 {
            bar.set_length(progress.total);
        } else {
            bar.unset_length();
        }
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    outcome
}
