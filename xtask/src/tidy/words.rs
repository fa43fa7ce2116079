//! Words that have no place in the repository, and untidy ends of lines.

use super::Finding;
use super::repository::{Repository, TextFile};

struct Forbidden {
    word: &'static str,
    place: Place,
    advice: &'static str,
}

enum Place {
    Anywhere,
    /// Not as the end of a longer path.
    PathStart,
    /// Only in Rust files.
    Code,
}

/// Written in two halves, so that this file passes its own check.
const FORBIDDEN: &[Forbidden] = &[
    Forbidden { word: concat!("TO", "DO"), place: Place::Anywhere, advice: DO_IT_NOW },
    Forbidden { word: concat!("FIX", "ME"), place: Place::Anywhere, advice: DO_IT_NOW },
    Forbidden { word: concat!("to", "do!"), place: Place::Code, advice: DO_IT_NOW },
    Forbidden { word: concat!("unimple", "mented!"), place: Place::Code, advice: DO_IT_NOW },
    Forbidden {
        word: concat!("#[ig", "nore"),
        place: Place::Code,
        advice: "a test that does not run proves nothing: mend it or remove it",
    },
    Forbidden { word: concat!("/wo", "rk/"), place: Place::PathStart, advice: NOT_OURS },
    Forbidden { word: concat!("../sha", "red"), place: Place::Anywhere, advice: NOT_OURS },
    Forbidden { word: concat!("issue ", "tracker"), place: Place::Anywhere, advice: NOT_OURS },
];

const DO_IT_NOW: &str = "do it now, or leave the note out";
const NOT_OURS: &str = "the repository speaks of itself alone: name what is in it";

/// Not written by us.
const FOREIGN_FILES: &[&str] = &["LICENSE", "Cargo.lock", "package-lock.json"];
/// Bytes as a client or a disk had them, where a blank at the end of a line may be the point.
const DATA_FOLDERS: &[&str] = &["conversations/", "golden/", "seeds/", "tests/data/"];

pub(super) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &repository.files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if FOREIGN_FILES.contains(&name) {
            continue;
        }
        findings.extend(check_words(file));
        if !DATA_FOLDERS.iter().any(|folder| file.path.contains(folder)) {
            findings.extend(check_line_ends(file));
        }
    }
    findings
}

fn check_words(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        for forbidden in FORBIDDEN.iter().filter(|forbidden| forbidden.is_in(line, &file.path)) {
            let message = format!("`{}`: {}", forbidden.word, forbidden.advice);
            findings.push(Finding::error(&file.path, number, message));
        }
    }
    findings
}

impl Forbidden {
    fn is_in(&self, line: &str, path: &str) -> bool {
        let is_path = |character: char| character.is_alphanumeric() || "._-/".contains(character);
        match self.place {
            Place::Anywhere => line.contains(self.word),
            Place::Code => path.ends_with(".rs") && line.contains(self.word),
            Place::PathStart => {
                line.match_indices(self.word).any(|(start, _)| !line[..start].ends_with(is_path))
            }
        }
    }
}

fn check_line_ends(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::error(
                &file.path,
                number,
                "blanks at the end of the line: remove them".into(),
            ));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let last = file.text.lines().count();
        findings.push(Finding::error(&file.path, last, "the last line does not end: add a newline".into()));
    }
    if file.text.ends_with("\n\n") {
        let last = file.text.lines().count();
        findings.push(Finding::error(&file.path, last, "an empty line at the end: remove it".into()));
    }
    findings
}
