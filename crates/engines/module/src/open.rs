//! From a name to an engine, or to one line that says why not.

use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;

use larder_engine::Services;

use crate::engine::ModuleEngine;
use crate::profile::Profile;
use crate::raw::crash::Watch;
use crate::raw::host;
use crate::raw::layout::Code;
use crate::raw::library::Library;
use crate::raw::module::{Module, hexadecimal, meaning};

/// What a module is opened with.
#[derive(Clone, Debug)]
pub struct ModuleOptions {
    /// The library: with a slash a path, without one a name that is looked for in `folders`, then where the system looks.
    pub library: PathBuf,
    /// Folders of engines.
    pub folders: Vec<PathBuf>,
    /// The module's own configuration, unchanged; `None`: it is told that there is none.
    pub config: Option<String>,
    /// Which layout it was compiled for.
    pub profile: Profile,
    /// Whether every function must be in the module's own code. Off for one that borrows functions from other libraries.
    pub checks_slots: bool,
    /// Longest value in bytes.
    pub item_size_max: u64,
    /// What the module may ask for: names and values of the server's settings.
    pub settings: Vec<(String, String)>,
    /// What the server calls itself.
    pub version: String,
    /// How talkative the server is, 0 to 3.
    pub verbosity: u32,
}

impl ModuleOptions {
    /// The defaults for a library.
    pub fn new(library: impl Into<PathBuf>) -> Self {
        ModuleOptions {
            library: library.into(),
            folders: Vec::new(),
            config: None,
            profile: Profile::Auto,
            checks_slots: true,
            item_size_max: 1 << 20,
            settings: Vec::new(),
            version: concat!("larder ", env!("CARGO_PKG_VERSION")).into(),
            verbosity: 0,
        }
    }
}

/// Why a module cannot be used: one line that names it.
#[derive(Debug)]
pub struct OpenError(String);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

/// Loads the library of utilities that modules expect in the process. Opening a module does it too.
///
/// # Errors
/// Why it cannot be loaded.
pub fn load_utilities() -> Result<(), OpenError> {
    host::prepare()
        .map_err(|problem| OpenError(format!("the utilities for modules cannot be loaded: {problem}")))
}

impl ModuleEngine {
    /// Opens a module. It is never unloaded; [`Engine::close`](larder_engine::Engine::close) destroys its engine.
    ///
    /// A module that crashes meanwhile ends the process with a line that names it.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn open(services: &Services, options: &ModuleOptions) -> Result<ModuleEngine, OpenError> {
        let name = options.library.display().to_string();
        let refuse = |problem: String| OpenError(format!("module {name}: {problem}"));
        let config = match &options.config {
            Some(config) => Some(
                CString::new(config.as_str())
                    .map_err(|_| refuse("its configuration has a zero byte".into()))?,
            ),
            None => None,
        };
        load_utilities()?;
        host::use_clock(&services.clock);
        host::use_settings(&options.version, &options.settings);
        host::use_verbosity(options.verbosity);
        let watch = Watch::begin();
        watch.stage(&name, "its start-up code, while it was being loaded");
        let library = Library::open(&options.library, &options.folders).map_err(refuse)?;
        if host::is_in_use(library.create_instance() as usize) {
            return Err(refuse(
                "it is in use already with other settings; a module can be used once: give all its prefixes the same \
                 settings, or make a copy of the file under another name"
                    .into(),
            ));
        }
        let short =
            options.library.file_name().map_or(name.clone(), |file| file.to_string_lossy().into_owned());
        let stage = |function: &'static str| watch.stage(&name, function);
        host::note_creating(true);
        let created = Module::create(&library, short, options.profile, options.checks_slots, stage);
        host::note_creating(false);
        let module = created.map_err(|refusal| refuse(refusal.0))?;
        watch.stage(&name, "initialize");
        let code = module.initialize(config.as_deref());
        if code != Code::SUCCESS {
            watch.stage(&name, "destroy, after initialize had failed");
            module.destroy();
            return Err(refuse(format!(
                "initialize failed with {}: {}{}",
                hexadecimal(code),
                meaning(code),
                match &options.config {
                    Some(config) => format!("; it was given the configuration \"{}\"", config.escape_debug()),
                    None => "; it was given no configuration".into(),
                }
            )));
        }
        watch.stage(&name, "get_info");
        let (description, features) = (module.description(), module.features());
        drop(watch);
        tracing::info!(
            "module {name}: {} (profile {}, features {features:?}); tap and vbuckets are not offered",
            if description.is_empty() { "it does not describe itself" } else { &description },
            module.profile
        );
        Ok(ModuleEngine { module, item_size_max: options.item_size_max })
    }

    /// What the module calls itself; empty if it does not say.
    pub fn description(&self) -> String {
        self.module.description()
    }
}
