//! Names, folders, time: what SQLite asks of the disk as a whole.
//!
//! # Safety
//!
//! SQLite alone calls these functions, through the tables below. By its VFS interface the pointers it gives are valid
//! for the length of the call, strings end in NUL, and buffers are as long as it says.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use larder_engine::disk::{Disk, DiskFile};
use larder_engine::kit::{Random, SimDisk, WeakSimDisk};
use rusqlite::ffi;

use super::file::{self, OpenFile, Shared};

const PATH_BYTES_MAX: c_int = 512;

/// What the functions of one VFS need.
struct Application {
    disk: WeakSimDisk,
    /// Locks and shared memory of the files that are open, by the disk's number of the file.
    shared: Mutex<HashMap<u64, Weak<Shared>>>,
    random: Mutex<Random>,
    temporary: AtomicU64,
    claims_powersafe_overwrite: bool,
}

/// A registered VFS; dropped with its disk.
struct Registered(*mut ffi::sqlite3_vfs);

// SAFETY: the pointer is only handed to SQLite, which guards its list of VFSs with a lock of its own.
unsafe impl Send for Registered {}
// SAFETY: as above; there is nothing to do with a shared reference.
unsafe impl Sync for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: registered in `attach`. The structure itself is left allocated (some hundred bytes a disk), because this
        // may run while SQLite closes the last file of the disk and is about to look at its VFS once more.
        unsafe { ffi::sqlite3_vfs_unregister(self.0) };
    }
}

pub(super) fn attach(disk: &SimDisk, claims_powersafe_overwrite: bool) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if disk.sqlite_vfs().is_some() {
        return;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("larder-power-cut-{number}");
    let application = Box::new(Application {
        disk: disk.downgrade(),
        shared: Mutex::default(),
        random: Mutex::new(Random::new(number)),
        temporary: AtomicU64::new(0),
        claims_powersafe_overwrite,
    });
    let c_name = CString::new(name.clone()).expect("the name has no zero in it");
    let vfs = Box::into_raw(Box::new(ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<OpenFile>() as c_int,
        mxPathname: PATH_BYTES_MAX,
        pNext: ptr::null_mut(),
        zName: c_name.into_raw(),
        pAppData: Box::into_raw(application).cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_path_name),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: Some(current_time_ms),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the structure is complete and never freed.
    let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
    assert_eq!(code, ffi::SQLITE_OK, "SQLite takes any complete VFS");
    // A disk that another thread attached meanwhile drops this registration again.
    disk.attach_vfs(name, Box::new(Registered(vfs)));
}

/// # Safety
/// `vfs` is one that [`attach`] registered.
unsafe fn application<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Application {
    // SAFETY: set in `attach`, never freed.
    unsafe { &*(*vfs).pAppData.cast::<Application>() }
}

/// # Safety
/// `name` is a string that ends with a zero and lives on for `'a`.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: the caller's promise.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

impl Application {
    fn shared(&self, file: u64) -> Arc<Shared> {
        let mut all = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = all.get(&file).and_then(Weak::upgrade) {
            return shared;
        }
        let shared = Arc::<Shared>::default();
        all.insert(file, Arc::downgrade(&shared));
        shared
    }

    /// `path` is `None` for a temporary file.
    fn open(&self, path: Option<&Path>, flags: c_int) -> Result<file::Handle, c_int> {
        let disk = self.disk.upgrade().ok_or(ffi::SQLITE_CANTOPEN)?;
        let path: PathBuf = match path {
            Some(path) => path.into(),
            None => format!("/temporary-{}", self.temporary.fetch_add(1, Ordering::Relaxed)).into(),
        };
        let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
        if create && flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0 && disk.exists(&path).unwrap_or(true) {
            return Err(ffi::SQLITE_CANTOPEN);
        }
        let (file, created) = disk.open_file(&path, create).map_err(|_| ffi::SQLITE_CANTOPEN)?;
        let shared = self.shared(file.id());
        Ok(file::Handle::new(disk, file, path, shared, flags, created, self.claims_powersafe_overwrite))
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands in the VFS it was given, and a name or null.
    let (application, path) = unsafe { (application(vfs), (!name.is_null()).then(|| path(name))) };
    let opened = application.open(path, flags);
    let code = opened.as_ref().err().copied().unwrap_or(ffi::SQLITE_OK);
    // SAFETY: SQLite hands in room for one `OpenFile` (`szOsFile`), and a place for the flags or null.
    unsafe {
        file::place(file, opened.ok());
        if !flags_out.is_null() {
            *flags_out = flags;
        }
    }
    code
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite hands in the VFS it was given, and a name.
    let (application, path) = unsafe { (application(vfs), path(name)) };
    let Some(disk) = application.disk.upgrade() else { return ffi::SQLITE_IOERR_DELETE };
    match disk.remove(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => return ffi::SQLITE_IOERR_DELETE,
    }
    let folder = path.parent().filter(|_| sync_folder != 0);
    if folder.is_some_and(|folder| disk.sync_folder(folder).is_err()) {
        return ffi::SQLITE_IOERR_DIR_FSYNC;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    there: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands in the VFS it was given, and a name.
    let (application, path) = unsafe { (application(vfs), path(name)) };
    let Some(disk) = application.disk.upgrade() else { return ffi::SQLITE_IOERR_ACCESS };
    // An empty file counts as missing, as on Unix. Reading and writing are allowed to all.
    let found = match disk.open_file(path, false) {
        Ok((file, _)) => file.length().map(|length| length > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => Ok(true),
        Err(error) => Err(error),
    };
    let Ok(found) = found else { return ffi::SQLITE_IOERR_ACCESS };
    // SAFETY: SQLite hands in a place for the answer.
    unsafe { *there = found.into() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path_name(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    full: *mut c_char,
) -> c_int {
    // SAFETY: SQLite hands in a name.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if bytes.len() > room.max(0) as usize || bytes[0] != b'/' {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: SQLite hands in `room` bytes, which suffice.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), full.cast(), bytes.len()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, count: c_int, bytes: *mut c_char) -> c_int {
    // SAFETY: SQLite hands in the VFS it was given.
    let application = unsafe { application(vfs) };
    let count = count.max(0) as usize;
    let random = application.random.lock().unwrap_or_else(PoisonError::into_inner).bytes(count);
    // SAFETY: SQLite hands in room for `count` bytes.
    unsafe { ptr::copy_nonoverlapping(random.as_ptr(), bytes.cast(), count) };
    count as c_int
}

unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::sleep(std::time::Duration::from_micros(microseconds.max(0) as u64));
    microseconds
}

/// 2030-01-01, as a Julian day in milliseconds. Nothing in a store depends on it.
const TIME_MS: i64 = 212_760_216_000_000;

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, day: *mut f64) -> c_int {
    // SAFETY: SQLite hands in a place for the answer.
    unsafe { *day = TIME_MS as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_ms(_vfs: *mut ffi::sqlite3_vfs, time: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite hands in a place for the answer.
    unsafe { *time = TIME_MS };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_vfs: *mut ffi::sqlite3_vfs, _room: c_int, _text: *mut c_char) -> c_int {
    0
}
