//! What the operator sees of a mistake.

use super::super::report::Report;
use super::super::text::Text;
use super::*;

/// The whole message, with its excerpt.
#[track_caller]
fn check_shown(file: &str, expected: &str) {
    let path = Path::new("larder.toml");
    let input = Input {
        program: Program::Larder,
        cores: CORES,
        options: &Options::default(),
        file: Some(File { path, content: file.as_bytes() }),
    };
    let mistakes = check(&input).expect_err("this file has mistakes");
    assert_eq!(mistakes.to_string(), expected);
}

#[test]
fn the_offender_is_marked_in_its_line() {
    check_shown(
        "# first\n[[prefix]]\nkey = ''\nstack = \"ram > sqlit\"\n",
        "larder.toml:4:16: unknown engine `sqlit`; write `sqlite`\n  \
         4 | stack = \"ram > sqlit\"\n    \
           |                ^^^^^\n",
    );
}

#[test]
fn tabs_and_wide_characters_keep_the_mark_in_place() {
    check_shown(
        "\tthread = 1\r\n",
        "larder.toml:1:2: unknown key `thread`; write `threads`\n  1 | \tthread = 1\n    | \t^^^^^^\n",
    );
    check_shown(
        "data = 'ä\u{1b}'\nbooo = 1\n",
        "larder.toml:1:10: this is no TOML: invalid literal string, expected non-single-quote visible characters; \
         write `name = value` lines, with texts in quotes\n  1 | data = 'ä\u{fffd}'\n    |          ^\n\
         larder.toml:2:1: unknown key `booo`; known are `listen`, `udp`, `unix_mask`, `data`, `memory`, `threads`, \
         `connections`, `item_size_max`, `requests_per_turn`, `idle_timeout`, `metrics`, `verbosity`, \
         `allow_shutdown`, `passwords`, `sasl_passwords`, `tls`, `tls_certificate`, `tls_key`, `tls_clients`, `tls_client_ca`, `tls_version_min`, `sql`, `prefix`\n  2 | booo = 1\n    | ^^^^\n",
    );
}

#[test]
fn long_lines_are_cut_around_the_offender() {
    let blanks = " ".repeat(5000);
    let file = format!("listen = [\"h:1\", {blanks}\"a b\"{blanks}]\n");
    let mistakes = plan("larder", Some(&file)).expect_err("a b is no host");
    assert_eq!(mistakes.len(), 1);
    let path = Path::new("larder.toml");
    let file = File { path, content: file.as_bytes() };
    let input =
        Input { program: Program::Larder, cores: CORES, options: &Options::default(), file: Some(file) };
    let shown = check(&input).expect_err("a b is no host").to_string();
    assert!(shown.lines().all(|line| line.len() < 200), "{shown}");
    assert!(shown.contains("\"a b\""), "{shown}");
}

#[test]
fn more_mistakes_than_anyone_reads_are_counted() {
    let file: String = (0..150).map(|number| format!("k{number} = 1\n")).collect();
    let path = Path::new("larder.toml");
    let file = File { path, content: file.as_bytes() };
    let input =
        Input { program: Program::Larder, cores: CORES, options: &Options::default(), file: Some(file) };
    let mistakes = check(&input).expect_err("none of the keys is known");
    assert_eq!(mistakes.count(), 150);
    assert!(mistakes.to_string().ends_with("and 50 more\n"));
}

#[test]
fn a_file_that_is_not_text_says_where() {
    let path = Path::new("larder.toml");
    let file = File { path, content: b"threads = 1\nmemory = \"\xff\"\n" };
    let input =
        Input { program: Program::Larder, cores: CORES, options: &Options::default(), file: Some(file) };
    let mistakes = check(&input).expect_err("the file is not UTF-8");
    assert_eq!(
        mistakes.lines(),
        ["larder.toml:2:11: the file is not UTF-8 from here on; save it as UTF-8 text"]
    );
}

/// A mark around part of a TOML string is found again by the offsets of its content.
#[track_caller]
fn check_offsets(raw: &str, content: &str, part: &str, column: usize) {
    let file = format!("x = {raw}");
    let table: toml::Table = file.parse().expect("this is TOML");
    assert_eq!(table["x"].as_str(), Some(content), "the string means what the case says");
    let mut report = Report::default();
    let place = report.add_option("raw", raw);
    let text = Text::toml_string(content, raw, place);
    let start = content.find(part).expect("the part occurs");
    let found = report.name_of(text.place(start..start + part.len()));
    assert_eq!(found, format!("raw:{column}"), "{raw}");
}

#[test]
fn parts_of_toml_strings_are_found_again() {
    check_offsets(r#""ram > here""#, "ram > here", "here", 8);
    check_offsets(r"'ram > here'", "ram > here", "here", 8);
    check_offsets(r#""\u00e4\t\"here""#, "ä\t\"here", "here", 12);
    check_offsets(r#""\U0001F600here""#, "\u{1f600}here", "here", 12);
    check_offsets(r#"'\u00e4here'"#, "\\u00e4here", "here", 8);
    check_offsets(r#"'''a 'here'''"#, "a 'here", "here", 7);
    // Columns restart at each line, as editors count them.
    check_offsets("\"\"\"\nram >\n  here\"\"\"", "ram >\n  here", "here", 3);
    check_offsets("\"\"\"ram > \\\n   here\"\"\"", "ram > here", "here", 4);
    check_offsets("\"\"\"\r\na\r\n here\"\"\"", "a\r\n here", "here", 2);
}
