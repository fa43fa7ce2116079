//! Every check catches a planted fault, and leaves alone what is right.

use super::examples::{self, Help, Judge};
use super::repository::Repository;
use super::{Finding, Severity, edges, licences, links, rust_text, sizes, unsafe_code, words};
use serde_json::{Value, json};

/// The findings as they are printed, which must each hold one of `expected`, in order.
fn check(findings: &[Finding], expected: &[&str]) {
    let printed: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(printed.len(), expected.len(), "{printed:#?}");
    for (line, expected) in printed.iter().zip(expected) {
        assert!(line.contains(expected), "{line:?} lacks {expected:?}");
    }
}

#[test]
fn licence_expressions_are_evaluated() {
    let allowed = |expression| licences::is_allowed(expression).expect("readable");
    assert!(allowed("MIT"));
    assert!(!allowed("MPL-2.0"));
    assert!(allowed("MPL-2.0 OR MIT"));
    assert!(!allowed("MPL-2.0 AND MIT"));
    assert!(allowed("MIT/Apache-2.0"));
    assert!(allowed("(MIT OR GPL-3.0-only) AND Unicode-3.0"));
    // AND binds tighter than OR.
    assert!(allowed("MIT OR GPL-3.0-only AND ISC"));
    assert!(!allowed("(MIT OR ISC) AND GPL-2.0-only"));
    assert!(allowed("Apache-2.0 WITH LLVM-exception"));
    assert!(!allowed("GPL-2.0-only WITH Classpath-exception-2.0"));
    // A name that contains an operator is one name.
    assert!(!allowed("MIT-ORDER"));
}

#[test]
fn malformed_licence_expressions_are_not_taken_for_allowed() {
    for expression in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT MIT", "MIT WITH", "()"] {
        assert!(licences::is_allowed(expression).is_err(), "{expression:?}");
    }
}

#[test]
fn a_dependency_under_another_licence_is_found() {
    let metadata = json!({"packages": [
        {"name": "fine", "version": "1.0.0", "license": "MIT OR Apache-2.0"},
        {"name": "copyleft", "version": "2.0.0", "license": "GPL-3.0-only"},
        {"name": "silent", "version": "3.0.0", "license": null},
        {"name": "garbled", "version": "4.0.0", "license": "MIT AND"},
    ]});
    check(&licences::check(&metadata), &["copyleft 2.0.0", "silent 3.0.0", "garbled 4.0.0"]);
}

fn package(folder: &str, name: &str, dependencies: Value) -> Value {
    json!({
        "name": name,
        "source": null,
        "manifest_path": format!("/repository/{folder}/Cargo.toml"),
        "dependencies": dependencies,
    })
}

#[test]
fn a_forbidden_edge_is_found() {
    let normal = |name: &str| json!({"name": name, "kind": null});
    let metadata = json!({"workspace_root": "/repository", "packages": [
        package("crates/engine", "larder-engine", json!([normal("bytes")])),
        package("crates/protocol", "larder-protocol", json!([normal("larder-engine")])),
        package("crates/engines/ram", "larder-ram", json!([
            normal("larder-engine"),
            {"name": "larder-protocol", "kind": "dev"},
        ])),
        package("crates/engines/tier", "larder-tier", json!([{"name": "larder-ram", "kind": "build"}])),
        package("crates/larder", "larder", json!([normal("larder-ram"), normal("larder-protocol")])),
        package("crates/novel", "larder-novel", json!([])),
    ]});
    check(
        &edges::check(&metadata),
        &[
            "crates/protocol/Cargo.toml: larder-protocol must not depend on larder-engine",
            "crates/engines/tier/Cargo.toml: larder-tier must not depend on larder-ram",
            "crates/novel/Cargo.toml: no rule says what larder-novel may depend on",
        ],
    );
}

#[test]
fn long_files_and_functions_are_found() {
    let lines = |count: usize| "// A line.\n".repeat(count);
    let function =
        |lines: usize| format!("    pub(crate) fn long(\n    ) {{\n{}    }}\n", "        {}\n".repeat(lines));
    let repository = Repository::of(&[
        ("short.rs", &(lines(400) + &function(60))),
        ("long.rs", &lines(501)),
        ("too_long.rs", &lines(901)),
        ("function.rs", &("trait Some {\n    fn declared(&self);\n".to_owned() + &function(68))),
        ("page.md", &lines(2000)),
    ]);
    let findings = sizes::check(&repository);
    check(
        &findings,
        &[
            "warning: long.rs: 501 lines",
            "too_long.rs: 901 lines",
            "warning: function.rs:3: function `long` has 71",
        ],
    );
    assert_eq!(findings[1].severity, Severity::Error);
}

#[test]
fn dead_links_are_found() {
    let repository = Repository::of(&[
        (
            "README.md",
            "See [the book](docs/start.md#first-steps), [docs](docs/), [site](https://example.org/x),\n\
             [gone](docs/gone.md), [no anchor](docs/start.md#last-steps), [out](../elsewhere.md).\n\
             `[code](none.md)` and [root](/docs/start.md)\n\
             ```\n[fenced](none.md)\n```\n\
             [definition]: docs/lost.md \"Title\"\n",
        ),
        ("docs/SUMMARY.md", "- [Start](start.md)\n- [Ghost](ghost.md)\n"),
        (
            "docs/start.md",
            "# First *steps*!\n\n# `Twice`\n\n# Twice\n\n[up](../README.md) [here](#twice-1) [not](#thrice)\n",
        ),
        ("docs/hidden.md", "Nobody lists me.\n"),
    ]);
    check(
        &links::check(&repository),
        &[
            "README.md:2: link `docs/gone.md`",
            "README.md:2: link `docs/start.md#last-steps`: docs/start.md has no heading",
            "README.md:2: link `../elsewhere.md`",
            "README.md:3: link `/docs/start.md` starts at a root",
            "README.md:7: link `docs/lost.md`",
            "docs/SUMMARY.md:2: link `ghost.md`",
            "docs/start.md:7: link `#thrice`",
            "docs/hidden.md: this page is not in docs/SUMMARY.md",
        ],
    );
}

#[test]
fn a_book_without_contents_is_found() {
    let repository = Repository::of(&[("docs/start.md", "Words.\n")]);
    check(&links::check(&repository), &["docs/SUMMARY.md: the book has no table of contents"]);
}

/// A server that takes configurations naming `ram`, and knows one subcommand and a few options.
struct MadeUpServer;

impl Judge for MadeUpServer {
    fn check_configuration(&self, text: &str) -> Result<(), String> {
        if text.contains("ram") { Ok(()) } else { Err(format!("refused: {text}")) }
    }

    fn help(&self, subcommand: Option<&str>) -> Result<Help, String> {
        Ok(Help::parse(match subcommand {
            None => {
                "A server\n\nUsage: larder [OPTIONS] [COMMAND]\n\nCommands:\n  check-config  Print the plan\n\
                 \x20                named --wrong here\n\nOptions:\n  -p, --port <PORT>\n          Where to \
                 listen\n  -v...          More words\n      --store <STACK>\n"
            }
            Some(_) => {
                "Usage: larder check-config [--strict] FILE\n\nOptions:\n      --strict  No warnings\n"
            }
        }))
    }
}

fn check_examples(page: &str, expected: &[&str]) {
    let examples = examples::collect(&Repository::of(&[("docs/page.md", page)]));
    check(&examples.check(Some(&MadeUpServer)), expected);
}

#[test]
fn configurations_that_the_server_refuses_are_found() {
    check_examples(
        "```toml\nstack = \"ram\"\n```\n\n  ```toml\n  stack = \"rum\"\n  ```\n\n```toml,ignore\n[package]\n```\n",
        &["docs/page.md:6: refused: stack = \"rum\""],
    );
}

#[test]
fn commands_with_unknown_options_are_found() {
    check_examples(
        "```console\n\
         $ larder -p 11211 -vv --store=ram --store 'ram > sqlite'  # --remark\n\
         larder --output is not a command\n\
         $ RUST_LOG=debug larder --prot 1 2>&1 | grep --count x && larder check-config --strict larder.toml\n\
         $ larder check-configs larder.toml\n\
         $ larder check-config \\\n    --lenient larder.toml > --plan\n\
         ```\n",
        &[
            "docs/page.md:4: `larder --prot 1`: `larder --help` names no option `--prot`",
            "docs/page.md:5: `larder check-configs larder.toml`: larder has no subcommand",
            "docs/page.md:6: `larder check-config --lenient larder.toml`: `larder check-config --help` names no",
        ],
    );
    check_examples(
        "```sh\nlarder --wrong\n```\n```sh,ignore\nlarder --wrong\n```\n",
        &["docs/page.md:2: `larder --wrong`"],
    );
}

#[test]
fn chores_are_held_against_the_command_line_itself() {
    check_examples(
        "```sh\ncargo xtask test --quick\ncargo xtask tidy --help\ncargo xtask services instal\n```\n",
        &["docs/page.md:4: `cargo xtask services instal` is not accepted"],
    );
}

#[test]
fn forbidden_words_are_found() {
    let later = format!("fn later() {{ {}() }} // {}: later\n", concat!("to", "do!"), concat!("TO", "DO"));
    let skipped = format!("{}]\nfn test() {{}}\n", concat!("#[ig", "nore"));
    let path = format!("in {0}main and src{0}mod.rs\nsrc{0}mod.rs\n", concat!("/wo", "rk/"));
    let repository = Repository::of(&[
        ("later.rs", &later),
        ("skipped.rs", &skipped),
        ("path.md", &path),
        ("clippy.toml", concat!("to", "do = \"warn\"\n")),
        ("LICENSE", "blanks \n\n"),
    ]);
    check(
        &words::check(&repository),
        &[
            concat!("later.rs:1: `TO", "DO`"),
            concat!("later.rs:1: `to", "do!`"),
            concat!("skipped.rs:1: `#[ig", "nore`"),
            concat!("path.md:1: `/wo", "rk/`"),
        ],
    );
}

#[test]
fn untidy_ends_are_found() {
    let repository = Repository::of(&[
        ("tidy.md", "A line.\n\nAnother.\n"),
        ("blanks.md", "A line.  \nAnother.\r\n"),
        ("newline.md", "A line.\nAnother."),
        ("empty_line.md", "A line.\n\n"),
        ("tests/data/raw.txt", "VALUE \r\n"),
    ]);
    check(
        &words::check(&repository),
        &[
            "blanks.md:1: blanks",
            "newline.md:2: the last line does not end",
            "empty_line.md:2: an empty line at the end",
        ],
    );
}

#[test]
fn unsafe_without_reason_or_out_of_place_is_found() {
    let allowed = "crates/engines/sqlite/src/power_cut.rs";
    let sound = "\
        // SAFETY: the pointer comes from the line above.\n\
        let value = read(\n    unsafe { *pointer },\n);\n\
        \n\
        /// Reads.\n///\n/// # Safety\n///\n/// `pointer` is valid.\n#[inline]\nunsafe fn read() {}\n\
        \n\
        type Callback = unsafe extern \"C\" fn(i32);\n\
        const WORD: &str = \"unsafe { }\"; // unsafe\n\
        #![deny(unsafe_op_in_unsafe_fn)]\n";
    check(&unsafe_code::check(&Repository::of(&[(allowed, sound)])), &[]);

    let unsound = "// SAFETY: for the first only.\nunsafe { first() };\nunsafe { second() };\n\nunsafe impl Send for X {}\n";
    check(
        &unsafe_code::check(&Repository::of(&[(allowed, unsound)])),
        &["power_cut.rs:3: `unsafe` without a reason", "power_cut.rs:5: `unsafe` without a reason"],
    );

    let elsewhere = "// SAFETY: sound, but not here.\nunsafe { first() };\n";
    check(
        &unsafe_code::check(&Repository::of(&[("crates/server/src/lib.rs", elsewhere)])),
        &["crates/server/src/lib.rs:2: `unsafe` outside the files that may hold it"],
    );
}

#[test]
fn comments_and_strings_are_blanked_in_place() {
    let check = |text: &str, expected: &str| {
        assert_eq!(rust_text::blank_comments_and_strings(text), expected, "{text}");
    };
    check("a // b\nc", "a     \nc");
    check("a /* b /* c */ d */ e", "a                   e");
    check(r#"f("a\"b") + g"#, r#"f("    ") + g"#);
    check(r##"r#"a"b"# + br"c" + r#type"##, r##"r#"   "# + br" " + r#type"##);
    check(r"'a' '\'' '\u{41}' &'a str 'b: loop", r"' ' '  ' '      ' &'a str 'b: loop");
    check("\"open // not a comment\nstill\" // gone", "\"                     \n     \"        ");
}
