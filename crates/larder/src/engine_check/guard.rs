//! No check may touch what is there already.

use std::path::Path;

use anyhow::bail;

use super::stack::{self, SCRATCH};
use crate::config::expression;

/// Checks the expression, and refuses one whose engine settings name something that exists.
///
/// Files of our own stores are named inside the data folder, which is the scratch folder here. What stands in quotes is
/// for an engine to read, and may name anything.
pub fn refuse_existing_data(store: &str) -> anyhow::Result<()> {
    stack::plan(store, Path::new("/nonexistent"))?;
    let engines = expression::parse(store).engines;
    for value in engines.iter().flat_map(|engine| &engine.arguments).map(|argument| &argument.value) {
        if !value.quoted {
            continue;
        }
        let is_separator = |sign: char| sign.is_whitespace() || "=;,".contains(sign);
        for word in value.text.split(is_separator).filter(|word| word.contains('/')) {
            if !word.contains(SCRATCH) && Path::new(word).exists() && !is_library(word) {
                bail!(
                    "{word} exists, and a check must not touch what is there: write {SCRATCH} in its place, which stands for \
                     a folder made for the check"
                );
            }
        }
    }
    Ok(())
}

/// Whether it is a shared library, which is loaded and not written to.
fn is_library(word: &str) -> bool {
    let name = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Path::new(word).is_file() && (name.ends_with(".so") || name.contains(".so."))
}
