//! What a folder is, and the making of a store in it.

use std::io;
use std::path::{Path, PathBuf};

use larder_engine::disk::Disk;

use crate::error::OpenError;
use crate::layout::{Layout, discard, file_name, read_small};
use crate::names;
use crate::options::FileOptions;
use crate::state::{self, State, VERSION};

/// What a folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// Not there, empty, or a store that was not finished when it was made.
    Nothing,
    /// A store of this format.
    Store,
}

/// Looks at a folder without changing anything.
///
/// # Errors
/// A folder that is somebody else's, or a store of a later version.
pub(crate) fn look(disk: &dyn Disk, layout: &Layout) -> Result<Look, OpenError> {
    let failed = |path: &Path, error| OpenError::disk(path, &error);
    if !disk.exists(&layout.folder).map_err(|error| failed(&layout.folder, error))? {
        return Ok(Look::Nothing);
    }
    let paths = disk.list(&layout.folder).map_err(|error| failed(&layout.folder, error))?;
    let foreign = |path: &Path, why: String| OpenError::Foreign { path: path.into(), why };
    match read_small(disk, &layout.format).map_err(|error| failed(&layout.format, error))? {
        Some(content) => match state::read_format(&content) {
            Some(found @ 1..=VERSION) if found == VERSION => Ok(Look::Store),
            Some(found) if found > VERSION => {
                Err(OpenError::Newer { path: layout.folder.clone(), found, known: VERSION })
            }
            _ => Err(foreign(&layout.format, "this is not the FORMAT of a larder file store".into())),
        },
        None => {
            if let Some(path) = paths.iter().find(|path| !layout.is_own(path)) {
                let name = path.file_name().unwrap_or_default().display();
                let why = format!("this folder has `{name}` in it, and is no larder file store");
                return Err(foreign(&layout.folder, why));
            }
            if paths.contains(&layout.items) {
                let items = disk.list(&layout.items).map_err(|error| failed(&layout.items, error))?;
                if !items.is_empty() {
                    let why = "this folder has items in it, but its file FORMAT is missing: put it back";
                    return Err(foreign(&layout.folder, why.into()));
                }
            }
            Ok(Look::Nothing)
        }
    }
}

/// Makes the folder and those above it where they are missing, durably.
pub(crate) fn make_folder(disk: &dyn Disk, options: &FileOptions) -> Result<(), OpenError> {
    let folder = &options.folder;
    let mut missing = Vec::new();
    for path in folder.ancestors().take_while(|path| !path.as_os_str().is_empty()) {
        if disk.exists(path).map_err(|error| OpenError::disk(path, &error))? {
            break;
        }
        missing.push(path);
    }
    disk.create_folder(folder).map_err(|error| OpenError::disk(folder, &error))?;
    if options.skips_folder_sync() {
        return Ok(());
    }
    // That of the folder itself also when it was there: whoever made it may have been killed before it was durable.
    let made = missing.into_iter().chain([folder.as_path()]);
    for path in made {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk.sync_folder(above).map_err(|error| OpenError::disk(above, &error))?;
    }
    Ok(())
}

/// Makes a store in the folder. `FORMAT` comes last: where it is, everything is.
pub(crate) fn make_store(disk: &dyn Disk, layout: &Layout, options: &FileOptions) -> Result<(), OpenError> {
    for path in [&layout.temporary, &layout.items] {
        disk.create_folder(path).map_err(|error| OpenError::disk(path, &error))?;
    }
    let state = State { ids_reserved: 1, ..State::default() };
    put(disk, layout, options, &layout.state, &state.encode())?;
    put(disk, layout, options, &layout.format, state::format_text().as_bytes())
}

/// Gives `content` a name in the store's own folder, durably.
fn put(
    disk: &dyn Disk,
    layout: &Layout,
    options: &FileOptions,
    path: &Path,
    content: &[u8],
) -> Result<(), OpenError> {
    layout.replace(disk, path, content).map_err(|error| OpenError::disk(path, &error))?;
    sync_folder(disk, options, &layout.folder).map_err(|error| OpenError::disk(&layout.folder, &error))
}

/// Makes names in a folder durable.
pub(crate) fn sync_folder(disk: &dyn Disk, options: &FileOptions, folder: &Path) -> io::Result<()> {
    if options.skips_folder_sync() { Ok(()) } else { disk.sync_folder(folder) }
}

/// The state of a store.
pub(crate) fn read_state(disk: &dyn Disk, layout: &Layout) -> Result<State, OpenError> {
    let damaged = |what| OpenError::Damaged { path: layout.state.clone(), what };
    match read_small(disk, &layout.state).map_err(|error| OpenError::disk(&layout.state, &error))? {
        Some(content) => State::decode(&content).map_err(damaged),
        None => Err(damaged("is missing, and is part of the data".into())),
    }
}

/// What is in the folders of a store, besides items.
pub(crate) struct Around {
    /// The shards that have a folder.
    pub shards: Vec<u8>,
    /// Files that were being written when a server was killed.
    pub temporary: Vec<PathBuf>,
    /// What is not ours.
    pub unknown: Vec<PathBuf>,
}

/// Looks around in the folders of a store; what is in those of the shards is not looked at.
pub(crate) fn look_around(disk: &dyn Disk, layout: &Layout) -> Result<Around, OpenError> {
    let list = |folder: &Path| disk.list(folder).map_err(|error| OpenError::disk(folder, &error));
    let mut around = Around { shards: Vec::new(), temporary: Vec::new(), unknown: Vec::new() };
    around.unknown.extend(list(&layout.folder)?.into_iter().filter(|path| !layout.is_own(path)));
    for path in list(&layout.items)? {
        match file_name(&path).and_then(names::read_shard) {
            Some(shard) => around.shards.push(shard),
            None => around.unknown.push(path),
        }
    }
    let (temporary, unknown) =
        list(&layout.temporary)?.into_iter().partition(|path: &PathBuf| Layout::is_temporary(path));
    around.temporary = temporary;
    around.unknown.extend(unknown);
    around.shards.sort_unstable();
    around.unknown.sort();
    Ok(around)
}

/// Makes a store ready for use: what was left half written is removed, and names that a killed server left are made
/// durable before anybody is shown what they name.
pub(crate) fn prepare(
    disk: &dyn Disk,
    layout: &Layout,
    options: &FileOptions,
    stopped_cleanly: bool,
) -> Result<Around, OpenError> {
    disk.create_folder(&layout.temporary).map_err(|error| OpenError::disk(&layout.temporary, &error))?;
    let around = look_around(disk, layout)?;
    for path in &around.unknown {
        tracing::warn!("{}: is not part of the file store; it is left alone", path.display());
    }
    for path in &around.temporary {
        discard(disk, path);
    }
    if stopped_cleanly {
        return Ok(around);
    }
    let shards = around.shards.iter().map(|shard| layout.shard(*shard));
    for folder in shards.chain([layout.items.clone(), layout.folder.clone()]) {
        sync_folder(disk, options, &folder).map_err(|error| OpenError::disk(&folder, &error))?;
    }
    Ok(around)
}
