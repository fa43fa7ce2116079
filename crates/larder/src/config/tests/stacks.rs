//! Stack expressions: what they mean, and what is refused in them.

use std::path::PathBuf;
use std::time::Duration;

use larder_module::Profile;

use super::super::report::Report;
use super::super::text::Text;
use super::super::{Layer, Module, Stack, Tier, Write, stack};
use super::*;

fn read(expression: &str) -> Result<Stack, Vec<String>> {
    let mut report = Report::default();
    let place = report.add_option("", expression);
    let stack = stack::read(&Text::plain(expression, place), &mut report).map(|placed| placed.stack);
    report.finish(stack).map_err(|mistakes| mistakes.lines())
}

/// An expression has exactly these mistakes, one a line, `COLUMN: problem; instead`.
#[track_caller]
fn check_refused(expression: &str, expected: &str) {
    let found = read(expression).expect_err("this expression is refused");
    let found: Vec<&str> = found.iter().map(|line| line.trim_start_matches(':')).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found.join("\n"), expected.join("\n"), "{expression}");
}

/// An expression is accepted and means this one, which spells everything out.
#[track_caller]
fn check_means(expression: &str, expected: &str) {
    let stack = read(expression).expect("this expression is accepted");
    assert_eq!(stack.to_string(), expected);
    assert_eq!(read(expected), Ok(stack), "the spelled-out form means the same");
}

#[test]
fn expressions_become_layers() {
    let sqlite = |file: &str| Layer::Sqlite { file: PathBuf::from(file) };
    let through = Tier { write: Write::Through, negative_ttl: Some(Duration::from_secs(1)), fresh: None };
    let behind = Write::Behind { dirty_bytes_max: 1_000_000, dirty_age_max: Duration::from_millis(50) };
    let cases = [
        ("ram", vec![Layer::Ram { size_bytes: None }], None),
        ("ram(64MiB)", vec![Layer::Ram { size_bytes: Some(64 << 20) }], None),
        ("sqlite", vec![sqlite("larder.db")], None),
        ("ram > sqlite", vec![Layer::Ram { size_bytes: None }, sqlite("larder.db")], Some(through)),
        (
            "ram(1g) > sqlite(users.db, write=behind, dirty_bytes=1MB, dirty_age=50ms, negative_ttl=0s)",
            vec![Layer::Ram { size_bytes: Some(1 << 30) }, sqlite("users.db")],
            Some(Tier { write: behind, negative_ttl: None, fresh: None }),
        ),
    ];
    for (expression, layers, tier) in cases {
        assert_eq!(read(expression), Ok(Stack { layers, tier }), "{expression}");
    }
}

#[test]
fn spellings_of_one_stack() {
    let full = "ram > sqlite(larder.db, write=through, negative_ttl=1s)";
    for expression in [
        "ram > sqlite",
        "ram>sqlite",
        "  ram()\n\t>  sqlite( )  ",
        "ram > sqlite(larder.db)",
        "ram > sqlite(file=larder.db)",
        "ram > sqlite(./larder.db)",
        "ram > sqlite('larder.db', write=through)",
        "ram > sqlite(write='through', \"larder.db\")",
    ] {
        check_means(expression, full);
    }
    check_means("ram(size=65536)", "ram(64KiB)");
    check_means("file", "file(files)");
    check_means("file(./a/b/)", "file(a/b)");
    check_means(
        "ram > file(folder=by-key, write=behind, dirty_age=50ms)",
        "ram > file(by-key, write=behind, dirty_bytes=64MiB, dirty_age=50ms, negative_ttl=1s)",
    );
    check_means("sqlite(a/b.db, write=through)", "sqlite(a/b.db)");
    check_means("sqlite('my file.db')", "sqlite('my file.db')");
    check_means("sqlite(\"it's.db\")", "sqlite(\"it's.db\")");
    check_means(
        "ram > sqlite(write=behind)",
        "ram > sqlite(larder.db, write=behind, dirty_bytes=64MiB, dirty_age=1s, negative_ttl=1s)",
    );
}

#[test]
fn grammar_mistakes() {
    const SIDES: &str = "write an engine on each side of `>`, as in `ram > sqlite`";
    const BETWEEN: &str = "write `>` between engines, as in `ram > sqlite`";
    const LIST: &str = "write a comma between arguments, or quotes around a text with spaces";
    const SIGNS: &str = "write `name=value`, or quotes around a text with such signs";
    const MISSING: &str = "write it, or remove what announces it";
    let cases = [
        ("", "1: the stack is empty; write an engine, as in `ram > sqlite`".to_owned()),
        ("  ", "1: the stack is empty; write an engine, as in `ram > sqlite`".to_owned()),
        ("ram >", format!("5: there is no engine below `>`; {SIDES}")),
        ("> sqlite", format!("1: there is no engine above `>`; {SIDES}")),
        ("ram >> sqlite", format!("6: there is no engine below `>`; {SIDES}")),
        ("(64MiB)", format!("1: `(` stands where an engine's name should; {SIDES}")),
        ("ram sqlite", format!("5: `sqlite` follows an engine without `>`; {BETWEEN}")),
        ("ram, sqlite", format!("4: `,` stands outside an engine's brackets; {BETWEEN}")),
        ("ram(64MiB", "4: the bracket is not closed; write `)` after the last argument".to_owned()),
        ("ram(64MiB > sqlite", "4: the bracket is not closed; write `)` after the last argument".to_owned()),
        ("ram(64 MiB)", "8: `MiB` follows `64` without a comma; write `64MiB`".to_owned()),
        (
            "sqlite(write behind)",
            "14: `behind` follows `write` without a comma; write `write=behind` or `write, behind`, whichever is meant"
                .to_owned(),
        ),
        ("sqlite(file=a b.db)", format!("15: `b.db` follows `a` without a comma; {LIST}")),
        ("sqlite(file=a=b)", format!("14: `=` cannot follow `a`; {SIGNS}")),
        ("sqlite(a(b))", format!("9: `(` cannot follow `a`; {SIGNS}\n12: `)` stands outside an engine's brackets; {BETWEEN}")),
        ("sqlite(a.db,)", format!("13: a value is missing; {MISSING}")),
        ("sqlite(,a.db)", format!("8: a value is missing; {MISSING}")),
        ("sqlite(=a)", format!("8: a value is missing; {MISSING}")),
        ("sqlite(write=)", format!("14: the value of `write` is missing; {MISSING}")),
        ("sqlite('a", "8: the quote ' is not closed; write another ' where the text ends".to_owned()),
        // Both arguments are broken, and both are named.
        (
            "ram(64 MiB) > sqlite(write=, dirty_age=1 s)",
            format!(
                "8: `MiB` follows `64` without a comma; write `64MiB`
                 28: the value of `write` is missing; {MISSING}
                 42: `s` follows `1` without a comma; write `1s`"
            ),
        ),
    ];
    for (expression, expected) in cases {
        check_refused(expression, &expected);
    }
}

#[test]
fn modules() {
    let module = |rest: Module| vec![Layer::Module(rest)];
    let bare = || Module::new("./engine.so");
    let config = |text: &str| Module { config: Some(text.to_owned()), ..bare() };
    let all = Module { profile: Profile::Y2010M04, checks_slots: false, ..config("a=b;c=d") };
    let cases = [
        ("module(./engine.so)", module(bare())),
        ("module(./engine.so, 'a=b;c=d')", module(config("a=b;c=d"))),
        ("module(library=./engine.so, config=\"path='x y'\")", module(config("path='x y'"))),
        ("module(./engine.so, slots=unchecked, profile=2010-04, config='a=b;c=d')", module(all)),
    ];
    for (expression, layers) in cases {
        let stack = read(expression).expect("this expression is accepted");
        assert_eq!((&stack.layers, &stack.tier), (&layers, &None), "{expression}");
        assert_eq!(read(&stack.to_string()), Ok(stack), "{expression}");
    }
    check_means("ram > module(x.so, negative_ttl=2s)", "ram > module(x.so, write=through, negative_ttl=2s)");
    check_refused(
        "module",
        "1: `module` does not say which library; name the shared library of the engine, as in module(./engine.so, \"size=64m\")",
    );
    check_refused(
        "module(x.so, 'a=b', unchecked)",
        "21: `unchecked` stands where the library should; write `slots=unchecked`",
    );
    check_refused(
        "module(x.so, profile=2009)",
        "22: `2009` is no profile of a module; known are `auto`, `engine-pu`, `engine-pu-cb`, `beta1`, `2010-04`",
    );
    let refusal = |stacks: [&str; 2]| {
        let file = format!(
            "[[prefix]]\nkey = 'a'\nstack = \"{}\"\n[[prefix]]\nkey = ''\nstack = \"{}\"\n",
            stacks[0], stacks[1]
        );
        plan("larder", Some(&file)).expect_err("refused").join("\n")
    };
    let behind = refusal(["ram > module(x.so, write=behind)", "ram"]);
    assert!(behind.contains("`write=behind` is not possible above a module"), "{behind}");
    let twice = refusal(["module(x.so, 'a=b')", "module(x.so, 'c=d')"]);
    assert!(twice.contains("`x.so` is used with other settings here than at"), "{twice}");
}

#[test]
fn unknown_names() {
    check_refused(
        "rma > sqlit",
        "1: unknown engine `rma`; write `ram`\n7: unknown engine `sqlit`; write `sqlite`",
    );
    check_refused("RAM", "1: unknown engine `RAM`; write `ram`");
    check_refused(
        "postgres",
        "1: unknown engine `postgres`; known are `ram`, `sqlite`, `file`, `sql`, `module`",
    );
    check_refused("ram(siz=1MiB)", "5: `ram` has no argument `siz`; write `size`");
    check_refused(
        "ram > sqlite(dirty-age=1s)",
        "14: `sqlite` has no argument `dirty-age`; write `dirty_age`",
    );
    check_refused(
        "ram > sqlite(colour=red)",
        "14: `sqlite` has no argument `colour`; known are `file`, `write`, `dirty_bytes`, `dirty_age`, `negative_ttl`",
    );
    check_refused(
        "ram(write=behind) > sqlite",
        "5: `ram` has no argument `write`; write `write=` among the arguments of the store below it, as in `ram > sqlite(write=…)`",
    );
    check_refused("ram > sqlite(write=behnd)", "20: `behnd` is no way to write; write `behind`");
    check_refused(
        "ram > sqlite(write=maybe)",
        "20: `maybe` is no way to write; known are `through`, `behind`",
    );
    check_refused("ram > sqlite(behind)", "14: `behind` stands where the file should; write `write=behind`");
    check_refused("ram(1MiB, 2MiB)", "11: `size` is given twice, first as `1MiB`; keep one of them");
    check_refused("sqlite(a.db, file=b.db)", "19: `file` is given twice, first as `a.db`; keep one of them");
}

#[test]
fn what_can_be_read_beside_a_mistake_of_grammar_is_judged() {
    check_refused(
        "rma(64 MiB) > sqlit(colour=red",
        "1: unknown engine `rma`; write `ram`
         8: `MiB` follows `64` without a comma; write `64MiB`
         15: unknown engine `sqlit`; write `sqlite`
         20: the bracket is not closed; write `)` after the last argument",
    );
    check_refused(
        "ram > sqlite(../a.db, write= , negative_ttl=x)",
        "14: `../a.db` leads out of the data folder; write the name of a file inside the data folder, as in larder.db, and name the folder with `data` or --data
         30: the value of `write` is missing; write it, or remove what announces it
         45: `x` is no duration; write a whole number and ms, s, m, h or d, as in 50ms or 5s",
    );
    check_refused(
        "rma > sqlite('a.db)",
        "1: unknown engine `rma`; write `ram`
         14: the quote ' is not closed; write another ' where the text ends",
    );
    // What is not read may hold what is missed: nothing is said of it.
    check_refused(
        "ram > sqlite(dirty_age=1s, write behind)",
        "34: `behind` follows `write` without a comma; write `write=behind` or `write, behind`, whichever is meant",
    );
}

#[test]
fn orders_that_cannot_work() {
    check_refused(
        "sqlite > ram",
        "10: the cache `ram` stands below the store `sqlite`; write the cache first: `ram > sqlite`",
    );
    check_refused(
        "ram > ram(1MiB)",
        "7: the cache `ram` stands over `ram`, which is a cache too; write `ram` alone, or one cache over a store: `ram > sqlite`",
    );
    check_refused(
        "ram > sqlite(a.db) > sqlite(b.db)",
        "22: the store `sqlite` stands over the store `sqlite`; write one store under its cache: `ram > sqlite`",
    );
    check_refused(
        "ram > sqlite > ram",
        "16: the cache `ram` stands below the store `sqlite`; write the cache first: `ram > sqlite`",
    );
}

#[test]
fn values_without_meaning() {
    check_refused(
        "ram(0)",
        "5: `0`: a size of zero keeps nothing; write a whole number and KiB, MiB or GiB, as in 64MiB",
    );
    check_refused(
        "ram(64)",
        "5: 64 bytes of RAM cannot hold items; write 64MiB if megabytes are meant; 64KiB is the least",
    );
    check_refused("ram(65535)", "5: 65535 bytes of RAM cannot hold items; write at least 64KiB");
    check_refused(
        "ram > sqlite(write=behind, dirty_age=50, dirty_bytes=-1)",
        "38: `50` has no unit of time; write 50ms or 50s, whichever is meant
         54: `-1`: a size is never below zero; write a whole number and KiB, MiB or GiB, as in 64MiB",
    );
    check_refused(
        "ram > sqlite(write=behind, dirty_age=0s)",
        "38: `dirty_age` of zero leaves nothing to wait for; write `write=through`",
    );
}

#[test]
fn one_mistake_does_not_hide_or_make_another() {
    check_refused(
        "rma > sqlite(../a.db, dirty_age=1s)",
        "1: unknown engine `rma`; write `ram`
         14: `../a.db` leads out of the data folder; write the name of a file inside the data folder, as in larder.db, and name the folder with `data` or --data
         33: `dirty_age` means something only with `write=behind`; add `write=behind`, or remove `dirty_age`",
    );
    check_refused(
        "ram > sqlite(write=behnd, dirty_age=1s)",
        "20: `behnd` is no way to write; write `behind`",
    );
}

#[test]
fn absent_keys_are_remembered_for_whole_seconds() {
    check_refused(
        "ram > sqlite(negative_ttl=1500ms)",
        "27: `1500ms` is no whole number of seconds; write 2s, or 0s to remember nothing",
    );
}

#[test]
fn settings_without_what_they_set() {
    check_refused(
        "sqlite(write=behind)",
        "14: `write=behind` has no cache above it to keep what is not written yet; put `ram >` before the store, or remove `write=behind`",
    );
    check_refused(
        "sqlite(negative_ttl=1s)",
        "21: `negative_ttl` has no cache above it to remember an absent key; put `ram >` before the store, or remove `negative_ttl`",
    );
    check_refused(
        "ram > sqlite(dirty_age=1s, write=through, dirty_bytes=1MiB)",
        "24: `dirty_age` means something only with `write=behind`; add `write=behind`, or remove `dirty_age`
         55: `dirty_bytes` means something only with `write=behind`; add `write=behind`, or remove `dirty_bytes`",
    );
}

#[test]
fn files_outside_the_data_folder() {
    const INSIDE: &str = "write the name of a file inside the data folder, as in larder.db";
    let and_name = format!("{INSIDE}, and name the folder with `data` or --data");
    const FOLDER: &str = "write the name of a folder inside the data folder, as in files";
    check_refused("file('')", &format!("6: the name of the folder is empty; {FOLDER}"));
    check_refused("file(.)", &format!("6: `.` is the data folder itself; {FOLDER}"));
    check_refused("file(a.db)", &format!("6: `a.db` ends in .db, as the files of `sqlite` do; {FOLDER}"));
    check_refused(
        "file(../a)",
        &format!(
            "6: `../a` leads out of the data folder; {FOLDER}, and name the folder with `data` or --data"
        ),
    );
    check_refused("sqlite('')", &format!("8: the name of the file is empty; {INSIDE}"));
    check_refused("sqlite(' ')", &format!("8: the name of the file is empty; {INSIDE}"));
    check_refused("sqlite(.)", &format!("8: `.` does not end in .db; {INSIDE}"));
    check_refused("sqlite(.db)", &format!("8: `.db` does not end in .db; {INSIDE}"));
    check_refused("sqlite(a.db/)", &format!("8: `a.db/` does not end in .db; {INSIDE}"));
    check_refused("sqlite(64MiB)", &format!("8: `64MiB` does not end in .db; {INSIDE}"));
    check_refused("sqlite('behind')", &format!("8: `behind` does not end in .db; {INSIDE}"));
    check_refused("sqlite(../a.db)", &format!("8: `../a.db` leads out of the data folder; {and_name}"));
    check_refused("sqlite(/a.db)", &format!("8: `/a.db` leads out of the data folder; {and_name}"));
    check_refused("sqlite(a\0.db)", &format!("8: the name of the file contains a zero byte; {INSIDE}"));
}

#[test]
fn columns_count_characters() {
    check_refused(
        "ram > sqlite('ä ö.db', behind)",
        "24: `behind` stands where the file should; write `write=behind`",
    );
    let expected = "--store:8: unknown engine `sqlit`; write `sqlite`";
    let options = Options { store: Some("ram  > sqlit".to_owned()), ..Options::default() };
    check_mistakes(plan_of(Program::Larder, &options, None), "", expected);
}
