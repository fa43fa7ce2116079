//! Which layout of the interface a module was compiled for.

use std::fmt;

/// A layout of the interface. All call themselves interface 1, so a module's is found out or said, never read from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Profile {
    /// The three later ones together: what differs between them is found out call by call.
    #[default]
    Auto,
    /// memcached's branch engine-pu from July 2011 on.
    EnginePu,
    /// The branch as Couchbase merged it in 2012: allocator hooks, another numbering of configuration types.
    EnginePuCb,
    /// 1.6.0-beta1 of April 2011: another cookie table. Needed only for a module that reserves cookies.
    Beta1,
    /// April 2010: a flat server table, values that end in CR LF, expiry times converted by the server. Never found out.
    Y2010M04,
}

impl Profile {
    /// All of them, as they are written.
    pub const NAMES: &'static [&'static str] = &["auto", "engine-pu", "engine-pu-cb", "beta1", "2010-04"];

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Profile> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        [Profile::Auto, Profile::EnginePu, Profile::EnginePuCb, Profile::Beta1, Profile::Y2010M04]
            .get(at)
            .copied()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Auto => "auto",
            Profile::EnginePu => "engine-pu",
            Profile::EnginePuCb => "engine-pu-cb",
            Profile::Beta1 => "beta1",
            Profile::Y2010M04 => "2010-04",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
