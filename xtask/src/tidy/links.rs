//! Links in Markdown must lead somewhere, and the book's table of contents must be whole.

use super::Finding;
use super::markdown::{Document, Link};
use super::repository::{Repository, TextFile};
use std::collections::HashMap;

const BOOK: &str = "docs/";
const CONTENTS: &str = "docs/SUMMARY.md";

pub(super) fn check(repository: &Repository) -> Vec<Finding> {
    let documents: HashMap<&str, Document> = repository
        .with_extension("md")
        .map(|file| (file.path.as_str(), Document::parse(&file.text)))
        .collect();
    let mut findings = Vec::new();
    for file in repository.with_extension("md") {
        let links = &documents[file.path.as_str()].links;
        findings.extend(links.iter().filter_map(|link| check_link(repository, &documents, file, link)));
    }
    findings.extend(check_contents(repository, &documents));
    findings
}

fn check_link(
    repository: &Repository,
    documents: &HashMap<&str, Document>,
    file: &TextFile,
    link: &Link,
) -> Option<Finding> {
    let dead = |reason: String| Some(Finding::error(&file.path, link.line, reason));
    let (target, anchor) = match link.target.split_once('#') {
        Some((target, anchor)) => (target, Some(anchor)),
        None => (link.target.as_str(), None),
    };
    if target.contains(':') {
        // Another site, or mail.
        return None;
    }
    if target.starts_with('/') {
        return dead(format!(
            "link `{}` starts at a root that readers do not share: make it relative",
            link.target
        ));
    }
    let path = if target.is_empty() { Some(file.path.clone()) } else { resolve(&file.path, target) };
    let Some(path) = path.filter(|path| repository.has(path)) else {
        return dead(format!("link `{}` leads to no file of the repository: mend or remove it", link.target));
    };
    let (Some(anchor), Some(document)) = (anchor, documents.get(path.as_str())) else {
        return None;
    };
    if document.anchors.iter().any(|known| known == anchor) {
        return None;
    }
    dead(format!(
        "link `{}`: {path} has no heading `#{anchor}`; it has: {}",
        link.target,
        document.anchors.join(", ")
    ))
}

/// The path of `target` as seen from `file`; none when it leaves the repository.
fn resolve(file: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn check_contents(repository: &Repository, documents: &HashMap<&str, Document>) -> Vec<Finding> {
    let Some(contents) = documents.get(CONTENTS) else {
        let has_book = repository.with_extension("md").any(|file| file.path.starts_with(BOOK));
        let missing = || Finding::error(CONTENTS, 0, "the book has no table of contents: write one".into());
        return has_book.then(missing).into_iter().collect();
    };
    let listed: Vec<String> =
        contents.links.iter().filter_map(|link| resolve(CONTENTS, &link.target)).collect();
    repository
        .with_extension("md")
        .filter(|file| file.path.starts_with(BOOK) && file.path != CONTENTS && !listed.contains(&file.path))
        .map(|file| {
            let message =
                format!("this page is not in {CONTENTS}: readers of the book cannot find it; list it");
            Finding::error(&file.path, 0, message)
        })
        .collect()
}
