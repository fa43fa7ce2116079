//! `unsafe` stays in a few small files, and every use says why it is sound.

use super::Finding;
use super::repository::{Repository, TextFile};
use super::rust_text;

/// The files that may hold `unsafe`; `*` stands for any part of a name, but no `/`.
const ALLOWED_FILES: &[&str] = &[
    "bench/src/poll.rs",
    "crates/engines/module/export/src/entry.rs",
    "crates/engines/module/export/src/guest.rs",
    "crates/engines/module/export/src/server.rs",
    "crates/engines/module/export/src/table.rs",
    "crates/engines/module/src/raw/*.rs",
    "crates/engines/module/utilities/src/loader.rs",
    "crates/engines/ram/src/arena.rs",
    "crates/engine/src/prefetch.rs",
    "crates/engines/sqlite/src/power_cut*.rs",
    "crates/engines/sqlite/src/power_cut/*.rs",
    "crates/larder/src/process/system.rs",
    "crates/larder/tests/serve/support/system.rs",
    "crates/protocol/src/owned.rs",
    "crates/server/src/rest.rs",
];

/// How many lines of code may stand between the reason and the `unsafe` it is for.
const CODE_LINES_BETWEEN_MAX: usize = 4;

pub(super) fn check(repository: &Repository) -> Vec<Finding> {
    repository.with_extension("rs").flat_map(check_file).collect()
}

fn check_file(file: &TextFile) -> Vec<Finding> {
    let code = rust_text::blank_comments_and_strings(&file.text);
    let code: Vec<&str> = code.lines().collect();
    let text: Vec<&str> = file.text.lines().collect();
    let allowed = ALLOWED_FILES.iter().any(|pattern| matches(pattern, &file.path));

    let mut findings = Vec::new();
    for index in (0..code.len()).filter(|&index| uses_unsafe(code[index])) {
        if !allowed {
            let message = "`unsafe` outside the files that may hold it: do without, or move it to a small \
                           module and add that to xtask/src/tidy/unsafe_code.rs";
            findings.push(Finding::error(&file.path, index + 1, message.into()));
        }
        let is_explained = is_callback(text[index]) && explains_callbacks(&text);
        if !is_explained && !has_reason(&code, &text, index) {
            let message = "`unsafe` without a reason: put a comment `// SAFETY: …` above it (for a function \
                           that callers must use with care, a documentation section `# Safety`)";
            findings.push(Finding::error(&file.path, index + 1, message.into()));
        }
    }
    findings
}

/// Whether the line has the keyword; the type of a pointer to an unsafe function is harmless.
fn uses_unsafe(code: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices("unsafe").any(|(start, word)| {
        let (before, after) = (&code[..start], &code[start + word.len()..]);
        if before.ends_with(is_name) || after.starts_with(is_name) {
            return false;
        }
        let mut after = after.trim_start();
        if let Some(foreign) = after.strip_prefix("extern") {
            // The name of the calling convention has been blanked, its quotation marks are left.
            after = foreign.trim_start_matches([' ', '"']);
        }
        !after.strip_prefix("fn").is_some_and(|rest| rest.trim_start().starts_with('('))
    })
}

/// Whether the line defines a function for C to call. Its caller is one and the same for a whole file of them.
fn is_callback(text: &str) -> bool {
    text.trim_start().starts_with("unsafe extern \"C\" fn ")
}

/// Whether the file's head says, in a section `# Safety`, by what rule its callbacks are called.
fn explains_callbacks(text: &[&str]) -> bool {
    text.iter().take_while(|line| line.starts_with("//!")).any(|line| line.contains("# Safety"))
}

/// Looks on the line itself, then upwards through comments, attributes and a few lines of code of the
/// same paragraph; another `unsafe` in between would have claimed the comment.
fn has_reason(code: &[&str], text: &[&str], index: usize) -> bool {
    let says_why = |line: &str| line.contains("SAFETY:") || line.contains("# Safety");
    if says_why(text[index]) {
        return true;
    }
    let mut code_lines = 0;
    for above in (0..index).rev() {
        if says_why(text[above]) && code[above].trim().is_empty() {
            return true;
        }
        let is_attribute = code[above].trim_start().starts_with("#[");
        if !code[above].trim().is_empty() && !is_attribute {
            code_lines += 1;
        }
        if text[above].trim().is_empty() || uses_unsafe(code[above]) || code_lines > CODE_LINES_BETWEEN_MAX {
            return false;
        }
    }
    false
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|middle| !middle.contains('/')),
    }
}
