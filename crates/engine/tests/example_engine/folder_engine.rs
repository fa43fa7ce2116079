//! An engine that keeps every item in a file of its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound::{Excluded, Unbounded};
use std::path::PathBuf;
use std::sync::Arc;

use larder_engine::disk::Disk;
use larder_engine::{Durability, EngineError, ErrorKind, Items, ItemsEngine, Kept, Services};

const ITEM_SIZE_MAX: u64 = 1 << 20;

/// The file of what the engine itself must remember.
const NOTE: &str = "note";
/// A file that is not whole yet. Nobody reads it.
const DRAFT: &str = "draft";

/// Opens the engine on a folder, which is made if it is missing.
pub fn open(services: Services, folder: PathBuf) -> io::Result<ItemsEngine<Folder>> {
    ItemsEngine::open("folder", Durability::Local, ITEM_SIZE_MAX, Folder::open(services.disk, folder)?)
}

/// A file an item, named by a number that its key has for as long as the item is there.
pub struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    files: BTreeMap<Vec<u8>, File>,
    next_number: u64,
    bytes: u64,
    /// Keeps other processes out.
    _lock: Box<dyn Any + Send + Sync>,
}

#[derive(Clone, Copy)]
struct File {
    number: u64,
    length: u64,
}

impl File {
    fn name(self) -> String {
        format!("{}.item", self.number)
    }
}

/// Nothing changed, or nobody knows: only the engine can say which, so it must.
fn failed(kind: ErrorKind) -> impl FnOnce(io::Error) -> EngineError {
    move |cause| EngineError::caused(kind, "the folder of the items fails", cause)
}

impl Folder {
    fn open(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<Folder> {
        disk.create_folder(&path)?;
        disk.sync_folder(path.parent().unwrap_or(&path))?;
        let lock = disk.lock(&path.join("lock"))?;
        let files = BTreeMap::new();
        let mut folder = Folder { disk, path, files, next_number: 0, bytes: 0, _lock: lock };
        for path in folder.disk.list(&folder.path)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(number) = name.strip_suffix(".item").and_then(|number| number.parse().ok()) else {
                continue;
            };
            let bytes = folder.read(name)?;
            let length = bytes.len() as u64;
            let damaged = || io::Error::other(format!("{} is damaged", path.display()));
            let (key, _) = Kept::decode(bytes).ok_or_else(damaged)?;
            folder.files.insert(key, File { number, length });
            folder.next_number = folder.next_number.max(number + 1);
            folder.bytes += length;
        }
        Ok(folder)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.disk.open(&self.path.join(name), false)?;
        let mut bytes = vec![0; file.length()? as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes a file whole. After a crash there is the old one or the new one.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let draft = self.path.join(DRAFT);
        let write = || {
            let file = self.disk.open(&draft, true)?;
            file.set_length(0)?;
            file.write_at(bytes, 0)?;
            file.sync()
        };
        write().map_err(failed(ErrorKind::Unavailable))?;
        // From here on the new file may or may not be in its place.
        let rename = || {
            self.disk.rename(&draft, &self.path.join(name))?;
            self.disk.sync_folder(&self.path)
        };
        rename().map_err(failed(ErrorKind::OutcomeUnknown))
    }
}

impl Items for Folder {
    fn load(&mut self, key: &[u8]) -> Result<Option<Kept>, EngineError> {
        let Some(file) = self.files.get(key) else { return Ok(None) };
        let bytes = self.read(&file.name()).map_err(failed(ErrorKind::Unavailable))?;
        match Kept::decode(bytes) {
            Some((_, kept)) => Ok(Some(kept)),
            None => Err(ErrorKind::Damaged.into()),
        }
    }

    fn save(&mut self, key: &[u8], item: &Kept) -> Result<(), EngineError> {
        let bytes = item.encode(key);
        let before = self.files.get(key).copied();
        let number = before.map_or(self.next_number, |file| file.number);
        let file = File { number, length: bytes.len() as u64 };
        self.replace(&file.name(), &bytes)?;
        self.files.insert(key.to_vec(), file);
        self.next_number = self.next_number.max(number + 1);
        self.bytes = self.bytes + file.length - before.map_or(0, |file| file.length);
        Ok(())
    }

    fn remove(&mut self, keys: &[Vec<u8>]) -> Result<(), EngineError> {
        for file in keys.iter().filter_map(|key| self.files.remove(key)) {
            self.bytes -= file.length;
            let path = self.path.join(file.name());
            self.disk.remove(&path).map_err(failed(ErrorKind::OutcomeUnknown))?;
        }
        self.disk.sync_folder(&self.path).map_err(failed(ErrorKind::OutcomeUnknown))
    }

    fn next_key(&mut self, after: Option<&[u8]>) -> Result<Option<Vec<u8>>, EngineError> {
        let start = after.map_or(Unbounded, Excluded);
        Ok(self.files.range::<[u8], _>((start, Unbounded)).next().map(|(key, _)| key.clone()))
    }

    fn load_note(&mut self) -> Result<Vec<u8>, EngineError> {
        let there = self.disk.exists(&self.path.join(NOTE)).map_err(failed(ErrorKind::Unavailable))?;
        if there { self.read(NOTE).map_err(failed(ErrorKind::Unavailable)) } else { Ok(Vec::new()) }
    }

    fn save_note(&mut self, note: &[u8]) -> Result<(), EngineError> {
        self.replace(NOTE, note)
    }

    fn used(&self) -> (u64, u64) {
        (self.files.len() as u64, self.bytes)
    }
}
