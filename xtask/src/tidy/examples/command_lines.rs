//! Command lines in the documentation, held against the program's own help.

use std::collections::BTreeSet;

/// The subcommands and options that a program's help names.
#[derive(Clone, Default)]
pub(crate) struct Help {
    subcommands: BTreeSet<String>,
    /// With their dashes: `-p`, `--port`.
    options: BTreeSet<String>,
}

impl Help {
    /// Options stand at the start of a line, `-p, --port <NUMBER>` or `-v...`; subcommands likewise, indented
    /// under the heading `Commands:`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut help = Help::default();
        let mut lists_commands = false;
        for line in text.lines() {
            let content = line.trim_start();
            if content.len() == line.len() && !content.is_empty() {
                lists_commands = content.starts_with("Commands:");
            }
            if content.starts_with('-') {
                let words = content.split([' ', ',', '=', '[', '<', '.']).filter(|word| !word.is_empty());
                help.options.extend(words.take_while(|word| word.starts_with('-')).map(str::to_owned));
            } else if lists_commands && line.starts_with("  ") && !line.starts_with("    ") {
                help.subcommands.extend(content.split_whitespace().next().map(str::to_owned));
            }
        }
        help
    }

    fn knows_option(&self, option: &str) -> bool {
        if option.starts_with("--") {
            let name = option.split('=').next().unwrap_or(option);
            return self.options.contains(name);
        }
        // A short option may have its value attached, `-m64`, or be given more than once, `-vv`.
        option.chars().nth(1).is_some_and(|letter| self.options.contains(&format!("-{letter}")))
    }
}

/// Checks a command line, the program's name first. `help_of` gives the help of a subcommand, or of
/// the program itself.
pub(super) fn check(
    words: &[String],
    help_of: &dyn Fn(Option<&str>) -> Result<Help, String>,
) -> Result<(), String> {
    let line = words.join(" ");
    let mut help = help_of(None)?;
    let mut asked = format!("{} --help", words[0]);
    let mut arguments = &words[1..];
    if let Some(subcommand) = arguments.first().filter(|word| !word.starts_with('-')) {
        if !help.subcommands.contains(subcommand) {
            let known: Vec<_> = help.subcommands.iter().map(String::as_str).collect();
            return Err(format!(
                "`{line}`: larder has no subcommand `{subcommand}`; it has: {}",
                known.join(", ")
            ));
        }
        help = help_of(Some(subcommand))?;
        asked = format!("{} {subcommand} --help", words[0]);
        arguments = &arguments[1..];
    }
    let options = arguments.iter().take_while(|word| *word != "--").filter(|word| is_option(word));
    for option in options {
        if !help.knows_option(option) {
            return Err(format!("`{line}`: `{asked}` names no option `{option}`"));
        }
    }
    Ok(())
}

fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-') && !word[1..].starts_with(|first: char| first.is_ascii_digit())
}

/// The commands in a block of shell text, each as its words, with how many lines above it the block
/// has. In a block with `$` prompts, only lines with a prompt are commands. Assignments in front,
/// `sudo`, redirections and what follows a pipe are left out; `&&` and `;` separate commands.
pub(super) fn commands(text: &str) -> Vec<(usize, Vec<String>)> {
    let has_prompts = text.lines().any(|line| line.trim_start().starts_with("$ "));
    let mut commands = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        let Some(line) = line.strip_prefix("$ ").or((!has_prompts).then_some(line)) else {
            continue;
        };
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            let Some((_, continued)) = lines.next() else { break };
            whole.push_str(continued.trim_start().trim_start_matches("> "));
        }
        commands.extend(split(&whole).into_iter().map(|words| (number, words)));
    }
    commands
}

fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut redirects = false;
    for word in shell_words(line) {
        match word {
            Word::Separator => commands.push(std::mem::take(&mut words)),
            Word::Redirection => redirects = true,
            Word::Text(_) if redirects => redirects = false,
            Word::Text(text) => {
                let is_prefix =
                    text == "sudo" || text.split_once('=').is_some_and(|(name, _)| is_variable(name));
                if !(words.is_empty() && is_prefix) {
                    words.push(text);
                }
            }
        }
    }
    commands.push(words);
    commands.retain(|words| !words.is_empty());
    commands
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character.is_ascii_uppercase() || character == '_')
}

enum Word {
    Text(String),
    /// `;`, `&`, `&&`, `|`, `||`, or the end of what counts: a comment.
    Separator,
    /// `<` or `>`, whose next word is a file.
    Redirection,
}

fn shell_words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut text: Option<String> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '"' => {
                let quoted = characters.by_ref().take_while(|&inside| inside != character);
                text.get_or_insert_default().extend(quoted);
            }
            '#' if text.is_none() => break,
            ' ' | '\t' => words.extend(text.take().map(Word::Text)),
            ';' | '|' | '&' | '<' | '>' => {
                // The `2` of `2>` names a stream.
                let stream = text.take().filter(|text| !(character == '>' && text == "2"));
                words.extend(stream.map(Word::Text));
                let is_redirection = matches!(character, '<' | '>');
                words.push(if is_redirection { Word::Redirection } else { Word::Separator });
                // As in `>>`, `2>&1` and `&&`.
                while characters
                    .next_if(|next| *next == character || (is_redirection && *next == '&'))
                    .is_some()
                {}
            }
            _ => text.get_or_insert_default().push(character),
        }
    }
    words.extend(text.map(Word::Text));
    words
}
