//! The chapter `docs/configure.md` says what the code does.

use clap::CommandFactory;

use super::super::options::extended::Effect;
use super::super::{engines, file};
use super::*;

fn chapter() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configure.md");
    std::fs::read_to_string(path).expect("the book has a chapter about the configuration")
}

/// The fenced blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block.to_owned())
        .collect()
}

#[test]
fn its_files_are_accepted() {
    let blocks = blocks(&chapter(), "toml");
    assert!(blocks.len() >= 2, "the chapter has examples");
    for block in blocks {
        plan("larder", Some(&block)).unwrap_or_else(|mistakes| panic!("{block}\n{mistakes:?}"));
    }
}

#[test]
fn its_mistakes_are_what_larder_prints() {
    let chapter = chapter();
    let wrong = blocks(&chapter, "toml,ignore");
    let answers = blocks(&chapter, "text,mistakes");
    assert_eq!((wrong.len(), answers.len()), (1, 1));
    let options = Options::default();
    let file = Some(File { path: Path::new("larder.toml"), content: wrong[0].as_bytes() });
    let mistakes = check(&Input { program: Program::Larder, cores: CORES, options: &options, file });
    assert_eq!(mistakes.expect_err("the example is wrong").to_string(), answers[0]);
}

#[test]
fn it_names_every_key_option_and_argument() {
    let chapter = chapter();
    for key in file::key_names() {
        assert!(chapter.contains(&format!("`{key}`")), "the chapter does not explain the key `{key}`");
    }
    for argument in crate::cli::Cli::command().get_arguments() {
        let Some(long) = argument.get_long() else { continue };
        assert!(chapter.contains(&format!("`--{long}`")), "the chapter does not explain `--{long}`");
        if let Some(short) = argument.get_short() {
            assert!(chapter.contains(&format!("`-{short}`")), "the chapter does not explain `-{short}`");
        }
    }
    for name in super::super::options::extended::NAMES {
        let row =
            chapter.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{}`", name.name)));
        let row = row.unwrap_or_else(|| panic!("the chapter does not explain `-o {}`", name.name));
        assert_eq!(row.ends_with("| taken |"), name.does == Effect::Taken, "`-o {}`", name.name);
        assert_eq!(row.contains("| refused: "), name.does == Effect::Refused, "`-o {}`", name.name);
    }
    for engine in engines::ENGINES {
        for argument in engine.arguments() {
            assert!(
                chapter.contains(&format!("`{}`", argument.name)),
                "`{}` of `{}`",
                argument.name,
                engine.name
            );
        }
    }
}
