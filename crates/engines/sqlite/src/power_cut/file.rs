//! What SQLite asks of an open file.
//!
//! # Safety
//!
//! SQLite alone calls these functions, through the tables below. By its VFS interface the pointers it gives are valid
//! for the length of the call, strings end in NUL, and buffers are as long as it says.

use std::ffi::{c_int, c_void};
use std::io;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use larder_engine::disk::{Disk, DiskFile};
use larder_engine::kit::{SimDisk, SimFile};
use rusqlite::ffi;

use super::locks::{FileLocks, HandleId, Level, slots_are_sane};
use super::shared_memory::SharedMemory;

const SECTOR_BYTES: c_int = larder_engine::kit::disk::SECTOR_BYTES as c_int;

/// What the connections to one file share.
#[derive(Default)]
pub(super) struct Shared {
    locks: Mutex<FileLocks>,
    memory: Mutex<SharedMemory>,
}

/// One opening of a file.
pub(super) struct Handle {
    id: HandleId,
    disk: SimDisk,
    file: SimFile,
    path: PathBuf,
    shared: Arc<Shared>,
    /// The file was just made and its next sync is to cover its name.
    sync_folder: bool,
    delete_on_close: bool,
    claims_powersafe_overwrite: bool,
}

/// What SQLite keeps for an open file: its own part first, then ours.
#[repr(C)]
pub(super) struct OpenFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

/// Files whose names the Unix VFS syncs when they were just made.
const LOGS: c_int = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;

impl Handle {
    pub(super) fn new(
        disk: SimDisk,
        file: SimFile,
        path: PathBuf,
        shared: Arc<Shared>,
        flags: c_int,
        created: bool,
        claims_powersafe_overwrite: bool,
    ) -> Handle {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Handle {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            disk,
            file,
            path,
            shared,
            sync_folder: created && flags & LOGS != 0,
            delete_on_close: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
            claims_powersafe_overwrite,
        }
    }

    fn locks(&self) -> std::sync::MutexGuard<'_, FileLocks> {
        self.shared.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, SharedMemory> {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        let folder = self.path.parent().filter(|_| std::mem::take(&mut self.sync_folder));
        if let Some(Err(error)) = folder.map(|folder| self.disk.sync_folder(folder)) {
            // The Unix VFS does not look at this outcome, so neither may an engine depend on it. A cut of the power
            // shows in every later call.
            drop(error);
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.locks().unlock(self.id, Level::None);
        self.memory().unmap(self.id);
        if self.delete_on_close {
            // After a cut there is nothing left to remove it from.
            drop(self.disk.remove(&self.path));
        }
    }
}

/// Puts `handle` (`None`: the file could not be opened) where SQLite will look for it.
///
/// # Safety
/// `file` points to room for an [`OpenFile`].
pub(super) unsafe fn place(file: *mut ffi::sqlite3_file, handle: Option<Handle>) {
    // Without methods SQLite never calls, not even to close.
    let methods: *const ffi::sqlite3_io_methods = if handle.is_some() { &METHODS } else { ptr::null() };
    let handle = handle.map_or(ptr::null_mut(), |handle| Box::into_raw(Box::new(handle)));
    // SAFETY: the caller's promise.
    unsafe {
        file.cast::<OpenFile>().write(OpenFile { base: ffi::sqlite3_file { pMethods: methods }, handle })
    }
}

/// # Safety
/// `file` was filled by [`place`] with a handle and is not closed; SQLite calls for one file from one thread at a time.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: the caller's promise.
    unsafe { &mut *(*file.cast::<OpenFile>()).handle }
}

fn code(outcome: io::Result<()>, failed: c_int) -> c_int {
    match outcome {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => ffi::SQLITE_FULL,
        Err(_) => failed,
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: placed by `place`, closed once: SQLite calls no more once the methods are gone.
    unsafe {
        let open = &mut *file.cast::<OpenFile>();
        open.base.pMethods = ptr::null();
        drop(Box::from_raw(std::mem::replace(&mut open.handle, ptr::null_mut())));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    room: *mut c_void,
    count: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: an open file, and room for `count` bytes, which SQLite has initialised or will not read on an error.
    let (handle, buffer) = unsafe {
        ptr::write_bytes(room.cast::<u8>(), 0, count as usize);
        (handle(file), std::slice::from_raw_parts_mut(room.cast::<u8>(), count as usize))
    };
    match handle.file.read_at(buffer, offset as u64) {
        Ok(done) if done == buffer.len() => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: an open file, and `count` bytes.
    let (handle, bytes) =
        unsafe { (handle(file), std::slice::from_raw_parts(bytes.cast::<u8>(), count as usize)) };
    code(handle.file.write_at(bytes, offset as u64), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    code(handle.file.set_length(length as u64), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    code(handle.sync(), ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let Ok(length) = handle.file.length() else { return ffi::SQLITE_IOERR_FSTAT };
    // SAFETY: SQLite hands in a place for the answer.
    unsafe { *size = length as i64 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let Some(level) = Level::from_number(level) else { return ffi::SQLITE_MISUSE };
    let outcome = handle.locks().lock(handle.id, level);
    if outcome.is_ok() { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let Some(level) = Level::from_number(level) else { return ffi::SQLITE_MISUSE };
    handle.locks().unlock(handle.id, level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, reserved: *mut c_int) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    unsafe { *reserved = handle(file).locks().is_reserved().into() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    _file: *mut ffi::sqlite3_file,
    _operation: c_int,
    _argument: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    if handle.claims_powersafe_overwrite { ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE } else { 0 }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    start: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let mapped = handle.memory().map(handle.id, region as usize, bytes as usize, extend != 0);
    // SAFETY: SQLite hands in a place for the answer.
    unsafe { *start = mapped.map_or(ptr::null_mut(), |region| region.as_ptr().cast()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let Some((first, count)) = slots_are_sane(first, count) else { return ffi::SQLITE_MISUSE };
    let mut memory = handle.memory();
    let outcome = match (flags & ffi::SQLITE_SHM_UNLOCK != 0, flags & ffi::SQLITE_SHM_SHARED != 0) {
        (true, _) => {
            memory.locks.unlock(handle.id, first, count);
            Ok(())
        }
        (false, true) => memory.locks.lock_shared(handle.id, first, count),
        (false, false) => memory.locks.lock_exclusive(handle.id, first, count),
    };
    if outcome.is_ok() { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
    // SAFETY: an open file. Taking the lock orders this thread after all that held it, as on Unix.
    drop(unsafe { handle(file) }.memory());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    handle.memory().unmap(handle.id);
    ffi::SQLITE_OK
}
