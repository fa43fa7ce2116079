//! The engines a stack expression can name. A new engine is one entry in [`ENGINES`].

use std::path::{Component, Path, PathBuf};

use larder_module::Profile;

use super::plan::{Layer, Module};
use super::report::{Objection, objection};
use super::sql;
use super::suggest;
use super::units::{format_size, parse_size};

/// Whether an engine keeps copies of what a store below it has, or the items themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// May stand above a store. Alone, it is all there is.
    Cache,
    /// Keeps the items; nothing stands below it.
    Store,
}

/// What may stand as the value of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// A size, as in `64MiB`.
    Size,
    /// A duration, as in `50ms`.
    Duration,
    /// A file or a folder inside the data folder.
    File,
    /// The name of something the configuration describes.
    Name,
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One argument of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// Its name before `=`. The engine's own first argument may also be given without a name.
    pub name: &'static str,
    /// What it takes.
    pub value: ValueKind,
}

/// What else can be said about an engine.
#[derive(Debug)]
pub struct Setting {
    /// How it is written. Also without a name, behind the engine's own argument and the settings before it.
    pub argument: Argument,
    /// Takes it up.
    pub set: fn(&mut Layer, &str) -> Result<(), Objection>,
}

/// An engine as the configuration knows it.
#[derive(Debug)]
pub struct Engine {
    /// Its name in expressions.
    pub name: &'static str,
    /// Where it may stand.
    pub kind: Kind,
    /// Its first argument, which may stand without a name.
    pub argument: Argument,
    /// Its other arguments.
    pub settings: &'static [Setting],
    /// Largest value it can hold in bytes, if the engine itself sets one.
    pub item_size_bytes_max: Option<u64>,
    /// The layer for the text of its argument, if one was given.
    pub layer: MakeLayer,
}

/// Judges the text of an engine's own argument.
pub type MakeLayer = fn(Option<&str>) -> Result<Layer, Objection>;

/// Every engine.
pub const ENGINES: &[Engine] = &[
    Engine {
        name: "ram",
        kind: Kind::Cache,
        argument: Argument { name: "size", value: ValueKind::Size },
        settings: &[],
        item_size_bytes_max: None,
        layer: ram,
    },
    Engine {
        name: "sqlite",
        kind: Kind::Store,
        argument: Argument { name: "file", value: ValueKind::File },
        settings: &[],
        item_size_bytes_max: Some(999_998_976),
        layer: sqlite,
    },
    Engine {
        name: "file",
        kind: Kind::Store,
        argument: Argument { name: "folder", value: ValueKind::File },
        settings: &[],
        item_size_bytes_max: Some(1 << 30),
        layer: file,
    },
    Engine {
        name: "sql",
        kind: Kind::Store,
        argument: Argument { name: "container", value: ValueKind::Name },
        settings: &[
            Setting { argument: Argument { name: "cluster", value: ValueKind::Name }, set: sql::set_cluster },
            Setting {
                argument: Argument { name: "flush", value: ValueKind::Word(sql::FLUSH_WORDS) },
                set: sql::set_flush,
            },
        ],
        // What a row can hold depends on its columns.
        item_size_bytes_max: None,
        layer: sql::layer,
    },
    Engine {
        name: "module",
        kind: Kind::Store,
        argument: Argument { name: "library", value: ValueKind::Text },
        settings: &[
            Setting { argument: Argument { name: "config", value: ValueKind::Text }, set: module_config },
            Setting {
                argument: Argument { name: "profile", value: ValueKind::Word(Profile::NAMES) },
                set: module_profile,
            },
            Setting {
                argument: Argument { name: "slots", value: ValueKind::Word(SLOTS_WORDS) },
                set: module_slots,
            },
        ],
        item_size_bytes_max: None,
        layer: module,
    },
];

/// What can be said about a cache over a store. Written among the store's arguments.
pub const TIER_ARGUMENTS: &[Argument] = &[
    Argument { name: "write", value: ValueKind::Word(&["through", "behind"]) },
    Argument { name: "dirty_bytes", value: ValueKind::Size },
    Argument { name: "dirty_age", value: ValueKind::Duration },
    Argument { name: "negative_ttl", value: ValueKind::Duration },
    Argument { name: FRESH, value: ValueKind::Duration },
];

/// How long a copy counts as what a store has that others write too.
pub const FRESH: &str = "fresh";

/// The database file of a bare `sqlite`.
pub const SQLITE_FILE_DEFAULT: &str = "larder.db";

/// The folder of a bare `file`.
pub const FILE_FOLDER_DEFAULT: &str = "files";

/// Less RAM than this cannot hold even its own index.
pub const RAM_BYTES_MIN: u64 = 64 << 10;

/// The engine with this name.
pub fn find(name: &str) -> Option<&'static Engine> {
    ENGINES.iter().find(|engine| engine.name == name)
}

/// The names of all engines.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENGINES.iter().map(|engine| engine.name)
}

impl Argument {
    /// Whether this is one of the words the argument chooses from.
    pub fn allows_word(&self, word: &str) -> bool {
        matches!(self.value, ValueKind::Word(words) if words.contains(&word))
    }
}

impl Engine {
    /// The arguments that may be given to this engine by name.
    pub fn arguments(&self) -> impl Iterator<Item = &Argument> {
        let tier = match self.kind {
            Kind::Cache => &[],
            Kind::Store => TIER_ARGUMENTS,
        };
        // Nobody else writes the stores in the data folder.
        let tier = tier.iter().filter(|argument| argument.name != FRESH || self.is_shared());
        let own = self.settings.iter().map(|setting| &setting.argument);
        std::iter::once(&self.argument).chain(own).chain(tier)
    }

    /// Whether others write what the store keeps.
    pub fn is_shared(&self) -> bool {
        self.name == "sql"
    }
}

fn ram(size: Option<&str>) -> Result<Layer, Objection> {
    let size_bytes = size.map(parse_size).transpose()?;
    if let Some(bytes) = size_bytes {
        check_ram_bytes(bytes)?;
    }
    Ok(Layer::Ram { size_bytes })
}

/// Refuses RAM too small to be meant.
pub fn check_ram_bytes(bytes: u64) -> Result<(), Objection> {
    if bytes >= RAM_BYTES_MIN {
        return Ok(());
    }
    let minimum = format_size(RAM_BYTES_MIN);
    // A bare small number was almost certainly meant as memcached's megabytes.
    let instead = match bytes {
        ..=1024 => format!("write {bytes}MiB if megabytes are meant; {minimum} is the least"),
        _ => format!("write at least {minimum}"),
    };
    Err(objection(format!("{bytes} bytes of RAM cannot hold items"), instead))
}

/// Whether functions that a module borrows from another library are refused.
const SLOTS_WORDS: &[&str] = &["checked", "unchecked"];

fn module(library: Option<&str>) -> Result<Layer, Objection> {
    let advice = "name the shared library of the engine, as in module(./engine.so, \"size=64m\")";
    let Some(library) = library.filter(|library| !library.trim().is_empty()) else {
        return Err(objection("`module` does not say which library", advice));
    };
    if library.contains('\0') {
        return Err(objection("the name of the library contains a zero byte", advice));
    }
    Ok(Layer::Module(Module::new(library)))
}

/// What a setting of a module is taken up by.
fn of_module(layer: &mut Layer) -> &mut Module {
    match layer {
        Layer::Module(module) => module,
        _ => unreachable!("these settings belong to `module`"),
    }
}

fn module_config(layer: &mut Layer, text: &str) -> Result<(), Objection> {
    if text.contains('\0') {
        return Err(objection("the configuration contains a zero byte", "write it without"));
    }
    of_module(layer).config = Some(text.to_owned());
    Ok(())
}

fn module_profile(layer: &mut Layer, text: &str) -> Result<(), Objection> {
    of_module(layer).profile = profile(text)?;
    Ok(())
}

/// The layout of the interface that a module was compiled for.
pub fn profile(text: &str) -> Result<Profile, Objection> {
    Profile::named(text).ok_or_else(|| {
        let names = Profile::NAMES.iter().copied();
        objection(format!("`{text}` is no profile of a module"), suggest::advice(text, names))
    })
}

fn module_slots(layer: &mut Layer, text: &str) -> Result<(), Objection> {
    if !SLOTS_WORDS.contains(&text) {
        let words = SLOTS_WORDS.iter().copied();
        return Err(objection(format!("`{text}` is no way to treat slots"), suggest::advice(text, words)));
    }
    of_module(layer).checks_slots = text == "checked";
    Ok(())
}

fn sqlite(file: Option<&str>) -> Result<Layer, Objection> {
    let text = file.unwrap_or(SQLITE_FILE_DEFAULT);
    let advice = format!("write the name of a file inside the data folder, as in {SQLITE_FILE_DEFAULT}");
    let file = inside_the_data_folder("file", text, &advice)?;
    // Keeps a store's name apart from those of its lock and its log, and catches a size or a unit in its place.
    if text.ends_with('/') || file.extension().is_none_or(|extension| extension != "db") {
        return Err(objection(format!("`{text}` does not end in .db"), advice));
    }
    Ok(Layer::Sqlite { file })
}

fn file(folder: Option<&str>) -> Result<Layer, Objection> {
    let text = folder.unwrap_or(FILE_FOLDER_DEFAULT);
    let advice = format!("write the name of a folder inside the data folder, as in {FILE_FOLDER_DEFAULT}");
    let folder = inside_the_data_folder("folder", text, &advice)?;
    if folder.as_os_str().is_empty() {
        return Err(objection(format!("`{text}` is the data folder itself"), advice));
    }
    if folder.extension().is_some_and(|extension| extension == "db") {
        return Err(objection(format!("`{text}` ends in .db, as the files of `sqlite` do"), advice));
    }
    Ok(Layer::File { folder })
}

/// A path inside the data folder, so that `larder check` and `larder backup` find it. `./a.db` and `a.db` come out alike.
fn inside_the_data_folder(what: &str, text: &str, advice: &str) -> Result<PathBuf, Objection> {
    if text.trim().is_empty() {
        return Err(objection(format!("the name of the {what} is empty"), advice));
    }
    if text.contains('\0') {
        return Err(objection(format!("the name of the {what} contains a zero byte"), advice));
    }
    let mut file = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => file.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(objection(
                    format!("`{text}` leads out of the data folder"),
                    format!("{advice}, and name the folder with `data` or --data"),
                ));
            }
        }
    }
    Ok(file)
}
