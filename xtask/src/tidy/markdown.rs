//! Enough of Markdown for our documents: code blocks, headings, links.

use std::collections::HashMap;

pub(super) struct Document {
    pub(super) blocks: Vec<CodeBlock>,
    pub(super) links: Vec<Link>,
    /// What may stand behind `#` in a link to this document.
    pub(super) anchors: Vec<String>,
}

pub(super) struct CodeBlock {
    /// Where the block's first line of content stands, counted from one.
    pub(super) line: usize,
    /// What stands behind the opening fence, as `toml` or `sh,ignore`.
    pub(super) info: String,
    pub(super) text: String,
}

pub(super) struct Link {
    pub(super) line: usize,
    pub(super) target: String,
}

impl Document {
    pub(super) fn parse(text: &str) -> Self {
        let mut document = Document { blocks: Vec::new(), links: Vec::new(), anchors: Vec::new() };
        let mut slugs_seen = HashMap::new();
        let mut lines = (1..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            if let Some(fence) = Fence::open(line) {
                let inside =
                    lines.by_ref().map(|(_, line)| line).take_while(|line| !fence.is_closed_by(line));
                let text = inside.map(|line| fence.without_indent(line).to_owned() + "\n").collect();
                document.blocks.push(CodeBlock { line: number + 1, info: fence.info, text });
                continue;
            }
            let prose = blank_inline_code(line);
            let targets = link_targets(&prose);
            document.links.extend(targets.into_iter().map(|target| Link { line: number, target }));
            document.anchors.extend(explicit_anchors(&prose));
            if let Some(heading) = heading(line) {
                document.anchors.push(unique_slug(&heading, &mut slugs_seen));
            }
        }
        document
    }
}

impl CodeBlock {
    pub(super) fn language(&self) -> &str {
        self.info.split([',', ' ', '{']).next().unwrap_or_default()
    }

    pub(super) fn is_ignored(&self) -> bool {
        self.info.split([',', ' ']).any(|word| word == "ignore")
    }
}

struct Fence {
    indent: usize,
    marks: String,
    info: String,
}

impl Fence {
    fn open(line: &str) -> Option<Self> {
        let content = line.trim_start();
        let mark = content.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let info = content.trim_start_matches(mark);
        let marks = &content[..content.len() - info.len()];
        if marks.len() < 3 || info.contains('`') {
            return None;
        }
        let indent = line.len() - content.len();
        Some(Fence { indent, marks: marks.to_owned(), info: info.trim().to_owned() })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        line.starts_with(&self.marks) && line.chars().all(|mark| self.marks.starts_with(mark))
    }

    fn without_indent<'a>(&self, line: &'a str) -> &'a str {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        &line[blanks.min(self.indent)..]
    }
}

/// Replaces what stands between backquotes by blanks; a backquote without a partner stays.
fn blank_inline_code(line: &str) -> String {
    let mut prose = String::new();
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let inside = rest[start..].trim_start_matches('`');
        let marks = &rest[start..rest.len() - inside.len()];
        prose.push_str(&rest[..start]);
        let Some(end) = inside.find(marks) else {
            prose.push_str(marks);
            rest = inside;
            continue;
        };
        prose.extend(std::iter::repeat_n(' ', end + 2 * marks.len()));
        rest = &inside[end + marks.len()..];
    }
    prose + rest
}

fn link_targets(prose: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for (start, mark) in prose.match_indices("](") {
        targets.extend(target_up_to(&prose[start + mark.len()..], ')'));
    }
    for attribute in ["href=\"", "src=\""] {
        for (start, mark) in prose.match_indices(attribute) {
            targets.extend(target_up_to(&prose[start + mark.len()..], '"'));
        }
    }
    // A definition, `[name]: target`, that links elsewhere refer to.
    let definition = prose.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    targets.extend(definition.and_then(|(_, target)| first_word(target)));
    targets
}

fn target_up_to(text: &str, end: char) -> Option<String> {
    first_word(&text[..text.find(end)?])
}

/// The target without a title behind it or angle brackets around it.
fn first_word(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    Some(word.trim_start_matches('<').trim_end_matches('>').to_owned())
}

fn explicit_anchors(prose: &str) -> Vec<String> {
    ["id=\"", "name=\""]
        .iter()
        .flat_map(|attribute| prose.match_indices(attribute))
        .filter_map(|(start, mark)| target_up_to(&prose[start + mark.len()..], '"'))
        .collect()
}

/// The text of a heading, without what a link in it points to.
fn heading(line: &str) -> Option<String> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    if !(1..=6).contains(&level) || !text.starts_with(' ') {
        return None;
    }
    let mut heading = text.trim().trim_end_matches('#').trim_end().to_owned();
    while let Some(start) = heading.find("](") {
        let end = heading[start..].find(')').map_or(heading.len(), |end| start + end + 1);
        heading.replace_range(start..end, "");
    }
    Some(heading)
}

/// The anchor of a heading as GitHub and mdBook make it: lower case, blanks to `-`, punctuation
/// dropped, a number added when there was such a heading before.
fn unique_slug(heading: &str, seen: &mut HashMap<String, usize>) -> String {
    let mut slug = String::new();
    for character in heading.chars() {
        match character {
            ' ' => slug.push('-'),
            '-' | '_' => slug.push(character),
            _ if character.is_alphanumeric() => slug.extend(character.to_lowercase()),
            _ => {}
        }
    }
    let count = seen.entry(slug.clone()).or_insert(0);
    if *count > 0 {
        slug = format!("{slug}-{count}");
    }
    *count += 1;
    slug
}
