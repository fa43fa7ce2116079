//! Opening a shared library, and asking what lies where in it.
//!
//! # Safety
//!
//! The system's loader calls back with descriptions that are valid for the time of the call.

use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::layout::{Code, Handle};

/// `create_instance`
pub(crate) type CreateInstance = unsafe extern "C" fn(u64, *const c_void, *mut Handle) -> Code;

/// A library that is never closed again: engines leave threads running.
pub(crate) struct Library {
    create_instance: CreateInstance,
    /// Where its code is.
    code: Vec<std::ops::Range<usize>>,
}

/// What the first bytes of a library for this machine say.
const ELF_MAGIC: &[u8] = b"\x7fELF";
const ELF_CLASS_64: u8 = 2;
const ELF_LITTLE_ENDIAN: u8 = 1;
const ELF_TYPE_SHARED: u16 = 3;
const ELF_MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

impl Library {
    /// Opens a library: a name with a slash is a path, a bare one is looked for in `folders`, then where the system looks.
    ///
    /// # Errors
    /// Why not, in words that name no path.
    pub(crate) fn open(name: &Path, folders: &[PathBuf]) -> Result<Library, String> {
        let path = find(name, folders);
        if path.as_os_str().as_bytes().contains(&b'/') {
            look_at_head(&path)?;
        }
        let c_path =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| "its name has a zero byte".to_owned())?;
        // SAFETY: the path ends in a zero byte. What the library's constructors do is the operator's choice of library.
        let library = unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(format!("it cannot be loaded: {}", loader_error(&path)));
        }
        // SAFETY: the handle is open, the name ends in a zero byte.
        let symbol = unsafe { libc::dlsym(library, c"create_instance".as_ptr()) };
        if symbol.is_null() {
            return Err("it is no engine: it has no function create_instance".into());
        }
        let code = code_around(symbol as usize);
        if !code.iter().any(|range| range.contains(&(symbol as usize))) {
            return Err("it is no engine: its create_instance is not code of its own".into());
        }
        // SAFETY: a symbol of this name in code of an engine is this function; the interface says so.
        let create_instance = unsafe { std::mem::transmute::<*mut c_void, CreateInstance>(symbol) };
        Ok(Library { create_instance, code })
    }

    /// The entry point.
    pub(crate) fn create_instance(&self) -> CreateInstance {
        self.create_instance
    }

    /// Whether an address is in the library's own code.
    pub(crate) fn has_code_at(&self, address: usize) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }
}

fn find(name: &Path, folders: &[PathBuf]) -> PathBuf {
    if name.as_os_str().as_bytes().contains(&b'/') {
        return name.to_owned();
    }
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| name.to_owned())
}

/// Says in plain words what the loader would say in its own.
fn look_at_head(path: &Path) -> Result<(), String> {
    let mut head = [0; 64];
    let read = std::fs::File::open(path).and_then(|mut file| {
        std::io::Read::read_exact(&mut file, &mut head)?;
        Ok(file.metadata()?.len())
    });
    let file_bytes = match read {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err("it is not a shared library".into());
        }
        Err(error) => return Err(format!("it cannot be read: {error}")),
        Ok(file_bytes) => file_bytes,
    };
    let word = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    if &head[..4] != ELF_MAGIC {
        return Err("it is not a shared library".into());
    }
    if head[4] != ELF_CLASS_64 || head[5] != ELF_LITTLE_ENDIAN || word(18) != ELF_MACHINE {
        return Err(format!("it was built for another machine; build it for {}", std::env::consts::ARCH));
    }
    let sections_start = head[40..48].iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let sections_end = sections_start.saturating_add(u64::from(word(58)) * u64::from(word(60)));
    if sections_end > file_bytes {
        return Err(format!("it is cut off: it has {file_bytes} of its {sections_end} bytes"));
    }
    if word(16) != ELF_TYPE_SHARED {
        return Err("it is not a shared library but another kind of object file; link it with -shared".into());
    }
    Ok(())
}

/// What the loader says, without the path, in one line.
fn loader_error(path: &Path) -> String {
    // SAFETY: may be called at any time; the text is copied before anything else can replace it.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the loader does not say why".into();
    }
    // SAFETY: not null, and ends in a zero byte.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    let name = path.display().to_string();
    let rest = text.strip_prefix(&name).map(|rest| rest.trim_start_matches([':', ' '])).unwrap_or(&text);
    rest.replace(['\r', '\n'], " ")
}

struct Search {
    address: usize,
    code: Vec<std::ops::Range<usize>>,
}

/// The executable parts of the object that has code at `address`.
fn code_around(address: usize) -> Vec<std::ops::Range<usize>> {
    let mut search = Search { address, code: Vec::new() };
    // SAFETY: the callback only reads what it is given, and `search` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look_at_object), std::ptr::from_mut(&mut search).cast()) };
    search.code
}

/// Called for each object that is loaded; not 0 ends the search.
unsafe extern "C" fn look_at_object(info: *mut libc::dl_phdr_info, _size: usize, data: *mut c_void) -> c_int {
    // SAFETY: the loader gives a valid description, and `data` is what `code_around` passed.
    let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the description says how many headers there are.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let code: Vec<_> = headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0)
        .map(|header| {
            let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
            start..start.saturating_add(header.p_memsz as usize)
        })
        .collect();
    if code.iter().any(|range| range.contains(&search.address)) {
        search.code = code;
        return 1;
    }
    0
}

/// The file name of the object that has code at `address`, for the log.
pub(crate) fn name_around(address: *const c_void) -> Option<String> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: writes at most one description.
    let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) } != 0;
    // SAFETY: zeroed is valid for it, and the call above may have filled it in.
    let info = unsafe { info.assume_init() };
    if !found || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own text, which lives as long as the object.
    let path = unsafe { CStr::from_ptr(info.dli_fname) };
    Path::new(OsStr::from_bytes(path.to_bytes())).file_name().map(|name| name.to_string_lossy().into_owned())
}
