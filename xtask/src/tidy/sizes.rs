//! A file holds one subject, a function one thought: both stay short.

use super::Finding;
use super::repository::{Repository, TextFile};
use super::rust_text;

const FILE_LINES_MAX: usize = 900;
const FILE_LINES_WARN: usize = 500;
const FUNCTION_LINES_WARN: usize = 70;

pub(super) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.with_extension("rs") {
        findings.extend(check_file_length(file));
        findings.extend(check_function_lengths(file));
    }
    findings
}

fn check_file_length(file: &TextFile) -> Option<Finding> {
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        let message = format!("{lines} lines, {FILE_LINES_MAX} at most: split it by subject");
        return Some(Finding::error(&file.path, 0, message));
    }
    (lines > FILE_LINES_WARN).then(|| {
        let message = format!("{lines} lines, more than {FILE_LINES_WARN}: does it hold one subject?");
        Finding::warning(&file.path, 0, message)
    })
}

/// In formatted code a function ends at the first `}` that stands as far in as its `fn` line.
fn check_function_lengths(file: &TextFile) -> Vec<Finding> {
    let code = rust_text::blank_comments_and_strings(&file.text);
    let lines: Vec<&str> = code.lines().collect();
    let mut findings = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        let end = lines[start..].iter().position(|line| line.trim_end() == closing);
        // What ends in `;` first is a declaration without a body.
        let declared = lines[start..].iter().position(|line| line.ends_with([';', '{', '}']));
        let has_body = declared.is_some_and(|declared| lines[start + declared].ends_with('{'));
        if let Some(end) = end.filter(|end| has_body && end + 1 > FUNCTION_LINES_WARN) {
            let message = format!(
                "function `{name}` has {} lines, more than {FUNCTION_LINES_WARN}: split it by thought",
                end + 1
            );
            findings.push(Finding::warning(&file.path, start + 1, message));
        }
    }
    findings
}

fn function_name(line: &str) -> Option<&str> {
    let (qualifiers, rest) = line.trim_start().split_once("fn ")?;
    let is_qualifier = |word: &str| {
        matches!(word, "const" | "async" | "unsafe" | "extern")
            || word.starts_with("pub")
            || word.starts_with('"')
    };
    if !qualifiers.split_whitespace().all(is_qualifier) {
        return None;
    }
    rest.split(['(', '<']).next()
}
