//! `larder check` and `larder backup`: work on the stores of a data folder from outside a server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use larder_engine::Services;
use larder_engine::disk::Disk;
use larder_engine::durable::{OnProgress, Progress};
use larder_file::FileOptions;
use larder_sqlite::{SqliteOptions, backup, stores_in};

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
    let stores = stores_below(&services, folder)?;
    for store in &stores.sqlite {
        let path = store.path();
        let outcome = with_bar(&path, |on_progress| larder_sqlite::check(&services, store, on_progress));
        sound &= conclude_check(&path, outcome.map(|report| Checked::of_sqlite(&report)));
    }
    for store in &stores.files {
        let path = &store.folder;
        let outcome = with_bar(path, |on_progress| larder_file::check(&services, store, on_progress));
        sound &= conclude_check(path, outcome.map(|report| Checked::of_files(&report)));
    }
    Ok(sound)
}

/// A check's report in words.
struct Checked {
    /// What the store holds, and whether it was stopped cleanly.
    holds: String,
    /// What the operator should know, though it is no fault.
    remarks: Vec<String>,
    findings: Vec<String>,
    findings_left_out: u64,
}

impl Checked {
    fn of_sqlite(report: &larder_sqlite::CheckReport) -> Checked {
        let larder_sqlite::CheckReport { items, value_bytes, journal_records, journal_batches, .. } = report;
        Checked {
            holds: format!(
                "{items} items, {value_bytes} bytes of values, {journal_records} changes in {journal_batches} journal \
                 batches not yet folded; {}",
                how_stopped(report.stopped_cleanly)
            ),
            remarks: Vec::new(),
            findings: report.findings.clone(),
            findings_left_out: report.findings_left_out,
        }
    }

    fn of_files(report: &larder_file::CheckReport) -> Checked {
        let larder_file::CheckReport { items, value_bytes, temporary, unknown, .. } = report;
        let not_ours = |path: &PathBuf| format!("{}: not part of the store, left alone", path.display());
        let mut remarks: Vec<String> = unknown.iter().map(not_ours).collect();
        if *temporary > 0 {
            remarks.push(format!("{temporary} half-written files, which the next start removes"));
        }
        Checked {
            holds: format!(
                "{items} items, {value_bytes} bytes of values; {}",
                how_stopped(report.stopped_cleanly)
            ),
            remarks,
            findings: report.findings.clone(),
            findings_left_out: report.findings_left_out,
        }
    }
}

fn how_stopped(cleanly: bool) -> &'static str {
    if cleanly { "stopped cleanly" } else { "not stopped cleanly, which is no fault" }
}

/// Prints what a check of one store came to; whether it is sound.
fn conclude_check(path: &Path, outcome: Result<Checked, impl std::fmt::Display>) -> bool {
    let path = path.display();
    let checked = match outcome {
        Ok(checked) => checked,
        Err(error) => {
            println!("{path}: cannot be checked: {error}");
            return false;
        }
    };
    println!("{path}: {}", checked.holds);
    for remark in &checked.remarks {
        println!("  {remark}");
    }
    for finding in &checked.findings {
        println!("  wrong: {finding}");
    }
    if checked.findings_left_out > 0 {
        println!("  wrong: {} findings more", checked.findings_left_out);
    }
    let is_sound = checked.findings.is_empty();
    println!("  {}", if is_sound { "sound" } else { "NOT sound: restore a backup" });
    is_sound
}

/// Whether a folder that may not be there yet would be in another, as far as the folders above it are there.
fn is_inside(inner: &Path, outer: &Path) -> bool {
    let Ok(outer) = outer.canonicalize() else { return false };
    let above = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    inner
        .ancestors()
        .find_map(|path| above(path).canonicalize().ok())
        .is_some_and(|path| path.starts_with(outer))
}

/// Copies into a folder with another name, which gets its own once every store is in it: what has the name is whole.
fn back_up_all(folder: &Path, to: &Path) -> anyhow::Result<bool> {
    let services = Services::system();
    let disk = &*services.disk;
    let stores = stores_below(&services, folder)?;
    // Without a slash at its end, to which nothing could be appended.
    let to: PathBuf = to.components().collect();
    let draft = draft_of(&to);
    if is_inside(&to, folder) {
        bail!(
            "{}: lies in the data folder {}, and the next backup would copy it too; name a folder outside",
            to.display(),
            folder.display()
        );
    }
    if disk.exists(&to)? {
        bail!(
            "{}: exists already; name a folder that does not, so that no backup is overwritten",
            to.display()
        );
    }
    if disk.exists(&draft)? {
        bail!(
            "{}: left by a backup that was not finished, or still being written; remove it, or name another folder \
             than {}",
            draft.display(),
            to.display()
        );
    }
    let mut made = Vec::new();
    let mut copied = copy_stores(&services, folder, &stores.sqlite, &draft, &mut made);
    // A backup without them must not look whole.
    copied.extend(stores.files.iter().map(|store| Err(not_copied(store))));
    let is_whole = copied.iter().all(Result::is_ok);
    if is_whole {
        give_name(disk, &draft, &to)?;
    }
    remove_empty(&made);
    for copy in &copied {
        match copy {
            Ok(Copied { from, inside, bytes }) => {
                let to = if is_whole { to.join(inside) } else { draft.join(inside) };
                println!("{} -> {}: {bytes} bytes", from.display(), to.display());
            }
            Err(error) => eprintln!("larder: not copied: {error:#}"),
        }
    }
    if !is_whole && draft.is_dir() {
        eprintln!(
            "larder: the backup is incomplete: what could be copied is in {}, and nothing in {}",
            draft.display(),
            to.display()
        );
    }
    Ok(is_whole)
}

fn not_copied(store: &FileOptions) -> anyhow::Error {
    anyhow!(
        "{}: a file store, which this command does not copy. Stop the server and copy the folder, as in `cp -a`, or take \
         a snapshot of its file system",
        store.folder.display()
    )
}

/// The name a backup has until it is whole.
fn draft_of(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// A store's copy in the draft.
struct Copied {
    from: PathBuf,
    /// Its name in the folder.
    inside: PathBuf,
    bytes: u64,
}

/// Copies each store; one that cannot be copied does not keep the others from it. `made` gets the folders made.
fn copy_stores(
    services: &Services,
    folder: &Path,
    stores: &[SqliteOptions],
    draft: &Path,
    made: &mut Vec<PathBuf>,
) -> Vec<anyhow::Result<Copied>> {
    let copy = |store: &SqliteOptions| {
        let from = store.path();
        let inside = from.strip_prefix(folder).unwrap_or(&from).to_owned();
        let target = draft.join(&inside);
        if let Some(parent) = target.parent() {
            make_folder(&*services.disk, parent, made)?;
        }
        let report = with_bar(&from, |on_progress| backup(services, store, &target, on_progress))?;
        Ok(Copied { from, inside, bytes: report.bytes })
    };
    stores.iter().map(copy).collect()
}

/// Makes a folder and those above it, durably, and notes which ones were made, outer ones first.
fn make_folder(disk: &dyn Disk, folder: &Path, made: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for path in folder.ancestors().take_while(|path| !path.as_os_str().is_empty()) {
        if disk.exists(path)? {
            break;
        }
        missing.push(path.to_owned());
    }
    for path in missing.into_iter().rev() {
        let made_durably = disk.create_folder(&path).and_then(|()| disk.sync_folder(above(&path)));
        made_durably.with_context(|| {
            format!("{} cannot be made; name a folder where this user may make one", path.display())
        })?;
        made.push(path);
    }
    Ok(())
}

fn give_name(disk: &dyn Disk, draft: &Path, to: &Path) -> anyhow::Result<()> {
    disk.sync_folder(draft)?;
    disk.rename(draft, to)?;
    disk.sync_folder(above(to))?;
    Ok(())
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes those of these folders that are empty, inner ones first.
fn remove_empty(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        // One that is not empty stays, and one that has got its name is no longer there.
        drop(std::fs::remove_dir(folder));
    }
}

/// Stores, in the order of their paths.
#[derive(Default)]
struct Stores {
    sqlite: Vec<SqliteOptions>,
    files: Vec<FileOptions>,
}

/// The stores in a folder and the folders in it; nothing is looked for inside a file store.
fn stores_below(services: &Services, folder: &Path) -> anyhow::Result<Stores> {
    if !folder.is_dir() {
        bail!("{}: no such folder; name the folder that --data names", folder.display());
    }
    let mut stores = Stores::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if larder_file::is_store(&*services.disk, &folder)? {
            stores.files.push(FileOptions::new(folder));
            continue;
        }
        for name in stores_in(services, &folder)? {
            stores.sqlite.push(SqliteOptions { file_name: name, ..SqliteOptions::new(&folder) });
        }
        let inner = services.disk.list(&folder)?;
        folders.extend(inner.into_iter().filter(|path: &PathBuf| path.is_dir() && !path.is_symlink()));
    }
    if stores.sqlite.is_empty() && stores.files.is_empty() {
        bail!("{}: no store in this folder; name the folder that --data names", folder.display());
    }
    stores.sqlite.sort_by_key(SqliteOptions::path);
    stores.files.sort_by(|one, other| one.folder.cmp(&other.folder));
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
