//! The names on a simulated disk: live, durable, and the changes between the two.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::kit::random::Random;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Node {
    Folder,
    File(u64),
}

#[derive(Clone)]
pub(super) struct Names {
    live: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    /// In order.
    waiting: Vec<NameChange>,
}

/// Takes place as a whole or not at all.
#[derive(Clone)]
struct NameChange {
    /// The folder whose sync makes it durable.
    folder: PathBuf,
    sets: Vec<(PathBuf, Option<Node>)>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        for (path, node) in &self.sets {
            match node {
                Some(node) => names.insert(path.clone(), *node),
                None => names.remove(path),
            };
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Node::Folder)]);
        Names { live: root.clone(), durable: root, waiting: Vec::new() }
    }
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

impl Names {
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<Node>> {
        if !path.is_absolute() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the simulated disk wants absolute paths",
            ));
        }
        Ok(self.live.get(path).copied())
    }

    pub(super) fn files(&self) -> impl Iterator<Item = u64> {
        self.live.values().filter_map(|node| match node {
            Node::File(id) => Some(*id),
            Node::Folder => None,
        })
    }

    pub(super) fn children(&self, folder: &Path) -> Vec<PathBuf> {
        self.live.keys().filter(|path| path.parent() == Some(folder)).cloned().collect()
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.live);
        self.waiting.push(change);
    }

    pub(super) fn create(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let folder = folder_of(path)?;
        if self.live.get(folder) != Some(&Node::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(NameChange { folder: folder.into(), sets: vec![(path.into(), Some(node))] });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let folder = folder_of(to)?;
        let Some(node @ Node::File(_)) = self.live.get(from).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if self.live.get(folder) != Some(&Node::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let sets = vec![(from.into(), None), (to.into(), Some(node))];
        self.change(NameChange { folder: folder.into(), sets });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let folder = folder_of(path)?;
        if !matches!(self.live.get(path), Some(Node::File(_))) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(NameChange { folder: folder.into(), sets: vec![(path.into(), None)] });
        Ok(())
    }

    pub(super) fn sync_folder(&mut self, folder: &Path) {
        let durable = &mut self.durable;
        self.waiting.retain(|change| {
            let synced = change.folder == folder;
            if synced {
                change.apply(durable);
            }
            !synced
        });
    }

    /// The names after a power cut: the durable ones, and of the changes that waited the first few, or any.
    pub(super) fn survivors(&self, random: &mut Random) -> Names {
        let mut names = self.durable.clone();
        let first = random.below(self.waiting.len() as u64 + 1) as usize;
        let in_order = random.chance(1, 2);
        for (index, change) in self.waiting.iter().enumerate() {
            let kept = if in_order { index < first } else { random.chance(1, 2) };
            if kept {
                change.apply(&mut names);
            }
        }
        Names::found(names)
    }

    /// The names after a power cut that left nothing of the changes that waited.
    pub(super) fn synced(&self) -> Names {
        Names::found(self.durable.clone())
    }

    /// The names of a disk that comes up with these.
    fn found(names: BTreeMap<PathBuf, Node>) -> Names {
        // A name in a folder that was lost cannot be reached.
        let reachable =
            |path: &PathBuf| path.ancestors().skip(1).all(|folder| names.get(folder) == Some(&Node::Folder));
        let durable: BTreeMap<PathBuf, Node> = names
            .iter()
            .filter(|(path, _)| reachable(path))
            .map(|(path, node)| (path.clone(), *node))
            .collect();
        Names { live: durable.clone(), durable, waiting: Vec::new() }
    }
}
