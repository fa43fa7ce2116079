//! What the documentation shows must work: configurations pass the server's own check, commands
//! name only subcommands and options that exist.

mod command_lines;

use super::Finding;
use super::markdown::{CodeBlock, Document};
use super::repository::Repository;
use crate::command;
use anyhow::{Context, Result};
use clap::CommandFactory;
pub(super) use command_lines::Help;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub(super) struct Examples {
    examples: Vec<Example>,
}

struct Example {
    path: String,
    line: usize,
    content: Content,
}

enum Content {
    Configuration(String),
    /// A command line that starts with `larder`.
    Server(Vec<String>),
    /// A command line that starts with `cargo xtask`.
    Chore(Vec<String>),
}

pub(super) fn collect(repository: &Repository) -> Examples {
    let mut examples = Vec::new();
    for file in repository.with_extension("md") {
        for block in Document::parse(&file.text).blocks.iter().filter(|block| !block.is_ignored()) {
            let found = in_block(block).into_iter();
            examples.extend(found.map(|(line, content)| Example { path: file.path.clone(), line, content }));
        }
    }
    Examples { examples }
}

fn in_block(block: &CodeBlock) -> Vec<(usize, Content)> {
    match block.language() {
        "toml" => vec![(block.line, Content::Configuration(block.text.clone()))],
        "sh" | "bash" | "shell" | "console" => {
            let commands = command_lines::commands(&block.text).into_iter();
            commands
                .filter_map(|(offset, words)| {
                    let content = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                        ["larder", ..] => Content::Server(words),
                        ["cargo", "xtask", ..] => Content::Chore(words),
                        _ => return None,
                    };
                    Some((block.line + offset, content))
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

impl Examples {
    /// Whether any of them can only be judged by the server binary.
    pub(super) fn need_server(&self) -> bool {
        self.examples.iter().any(|example| !matches!(example.content, Content::Chore(_)))
    }

    pub(super) fn check(&self, server: Option<&dyn Judge>) -> Vec<Finding> {
        self.examples.iter().filter_map(|example| example.check(server)).collect()
    }
}

impl Example {
    fn check(&self, server: Option<&dyn Judge>) -> Option<Finding> {
        let server = || server.expect("the caller has asked whether a server is needed");
        let verdict = match &self.content {
            Content::Configuration(text) => server().check_configuration(text),
            Content::Server(words) => command_lines::check(words, &|subcommand| server().help(subcommand)),
            Content::Chore(words) => check_chore(words),
        };
        verdict.err().map(|reason| Finding::error(&self.path, self.line, reason))
    }
}

fn check_chore(words: &[String]) -> Result<(), String> {
    let outcome = crate::CommandLine::command().try_get_matches_from(&words[1..]);
    match outcome {
        Err(error) if error.use_stderr() => {
            Err(format!("`{}` is not accepted: {}", words.join(" "), error.to_string().trim()))
        }
        _ => Ok(()),
    }
}

/// Who decides whether an example works: the server binary, or a made-up one in a test.
pub(super) trait Judge {
    fn check_configuration(&self, text: &str) -> Result<(), String>;
    /// What `larder --help` or `larder SUBCOMMAND --help` names.
    fn help(&self, subcommand: Option<&str>) -> Result<Help, String>;
}

/// The server binary, asked through its command line.
pub(super) struct Server {
    binary: PathBuf,
    /// Where configurations are put to be checked, and where the server runs.
    folder: PathBuf,
    helps: RefCell<HashMap<Option<String>, Help>>,
}

impl Server {
    pub(super) fn new(binary: PathBuf, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Server { binary, folder, helps: RefCell::default() })
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command::output(&mut command).map_err(|error| format!("{error:#}"))
    }
}

impl Judge for Server {
    fn check_configuration(&self, text: &str) -> Result<(), String> {
        let file = self.folder.join("example.toml");
        fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        match self.ask(&["check-config", "example.toml"]) {
            Ok(_) => Ok(()),
            Err(reason) => Err(format!(
                "this configuration is refused: mend it, or write ```toml,ignore if it is none of larder's; {reason}"
            )),
        }
    }

    fn help(&self, subcommand: Option<&str>) -> Result<Help, String> {
        let key = subcommand.map(str::to_owned);
        if let Some(help) = self.helps.borrow().get(&key) {
            return Ok(help.clone());
        }
        let arguments: Vec<&str> = subcommand.into_iter().chain(["--help"]).collect();
        let help = Help::parse(&self.ask(&arguments)?);
        self.helps.borrow_mut().insert(key, help.clone());
        Ok(help)
    }
}
