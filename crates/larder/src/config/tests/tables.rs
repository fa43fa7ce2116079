//! Tables in databases: what `[sql]` says, which stacks keep items there, and what is wrong with it.

use super::*;

const USERS: &str = r#"[[sql.cluster]]
name = "main"
url = "mysql://app@db1/shop"

[[sql.container]]
name = "users"
table = "users"
key_columns = ["id"]
value_columns = ["name"]
"#;

/// The prefixes with their stacks, one a line.
fn stacks(plan: &Plan) -> String {
    let lines = plan.prefixes.iter().map(|prefix| format!("{}|{}", prefix.key, prefix.stack));
    lines.collect::<Vec<_>>().join("\n")
}

fn with_users(rest: &str) -> String {
    format!("{USERS}\n{rest}")
}

#[test]
fn a_stack_names_a_container() {
    let plan = good_file(&with_users(
        r#"
        [[prefix]]
        key = "user:"
        stack = "ram > sql(users)"
        [[prefix]]
        key = "now:"
        stack = "sql(users, cluster=main, flush=empty)"
        [[prefix]]
        key = ""
        stack = "ram > sql(container=users, negative_ttl=0s, fresh=0s)"
        "#,
    ));
    assert_eq!(
        stacks(&plan),
        "|ram > sql(users, write=through, negative_ttl=0ms, fresh=0ms)\n\
         now:|sql(users, cluster=main, flush=empty)\n\
         user:|ram > sql(users, write=through, negative_ttl=1s, fresh=5s)"
    );
    let description = plan.describe();
    for sentence in [
        "a write is acknowledged when the database has committed it",
        "what others write to the table is seen after 5s at most",
        "a copy is served until it is evicted, whatever others write to the table",
    ] {
        assert!(description.contains(sentence), "{description}");
    }
}

#[test]
fn prefixes_of_the_tables_become_stacks_by_their_policies() {
    let file = with_users(
        r#"
        [[sql.policy]]
        name = "a minute"
        get = "caching"
        set = "caching"
        delete = "caching"
        cache_ttl = 60

        [[sql.role]]
        name = "other"
        id = 7

        [[sql.prefix]]
        prefix = "db:"
        policy = "ndb-only"
        container = "users"
        [[sql.prefix]]
        prefix = "test:"
        policy = "db-test"
        container = "users"
        [[sql.prefix]]
        prefix = "copy:"
        policy = "a minute"
        container = "users"
        [[sql.prefix]]
        prefix = "mc:"
        policy = "memcache-only"
        [[sql.prefix]]
        role = "other"
        prefix = ""
        policy = "db-only"
        container = "users"
        "#,
    );
    assert_eq!(
        stacks(&good_file(&file)),
        "|ram\n\
         copy:|ram > sql(users, write=through, negative_ttl=0ms, fresh=1m)\n\
         db:|sql(users)\n\
         mc:|ram\n\
         test:|sql(users, flush=empty)"
    );
    let other = plan("larder --role other", Some(&file)).expect("no mistakes");
    assert_eq!(stacks(&other), "|sql(users)");
    let mistakes = plan("larder --role nobody", Some(&file)).expect_err("there is no such role");
    assert!(mistakes[0].starts_with("--role:1: role `nobody` is not there"), "{mistakes:?}");
}

#[test]
fn mistakes_are_told_with_their_places() {
    check_file(
        &with_users(
            r#"
[[prefix]]
key = "a"
stack = "sql(userz)"
[[prefix]]
key = "b"
stack = "ram > sql(users, cluster=mian, write=behind)"
[[prefix]]
key = "c"
stack = "sql"
[[prefix]]
key = "d"
stack = "sql(users, fresh=1s)"
[[prefix]]
key = "e"
stack = "ram > sql(users, fresh=1ms, flush=often)"
[[prefix]]
key = ""
stack = "ram > sqlite(fresh=1s)"
"#,
        ),
        "
        14:10: there is no container `userz`; write `users`
        17:16: there is no cluster `mian`; write `main`
        17:47: `write=behind` is not possible over tables that others write too; write `write=through`, or leave it out
        20:10: `sql` names no container; write `sql(NAME)`, as in [[sql.container]]
        23:27: `fresh` has no cache above it to keep copies; put `ram >` before the store, or remove `fresh`
        26:33: `1ms` is no whole number of seconds; write 1s, or 0s to keep copies until they are evicted
        26:44: `often` is none of what `flush` can be; known are `keep`, `empty`
        29:23: `sqlite` has no argument `fresh`; remove it: only tables in a database are written by others too
        ",
    );
}

#[test]
fn mistakes_of_a_model_are_told_with_their_places() {
    check_file(
        &with_users(
            r#"
[[sql.cluster]]
name = "old"
id = 1
url = "oracle://db2/shop"

[[sql.container]]
name = "nothing"
table = "nothing"
key_columns = ["id"]

[[sql.prefix]]
prefix = "p:"
policy = "db-only"
container = "nobody"
[[sql.prefix]]
prefix = "q:"
policy = "caching-with-local-deletes"
container = "users"
"#,
        ),
        "
        12:1: cluster `old`: `oracle` is no database larder knows; there are mysql, mariadb, postgres and sqlite; change its `url`
        17:1: container `nothing` names neither value columns nor an increment column: nothing would be kept; change it, or remove it
        22:1: prefix `p:` names the container `nobody`, which is not there; change it, or remove it
        26:1: the policy `caching-with-local-deletes` of prefix `q:` sends gets, sets and deletes different ways, which is not possible; give it a policy that sends all three one way: cache_only, db_only or caching
        ",
    );
    let mistakes = plan("larder", Some("[[sql.cluster]]\nname = \"main\"\nurk = \"mysql://db1/\"\n"));
    let mistakes = mistakes.expect_err("an unknown key");
    assert!(mistakes[0].starts_with("larder.toml:3:1: [sql]: unknown field `urk`"), "{mistakes:?}");
}

#[test]
fn a_container_that_is_described_nowhere_is_refused() {
    check_options(
        "larder --store sql(users)",
        "--store:1: the container `users` is described nowhere; describe it with [[sql.cluster]] and \
         [[sql.container]] in the file that --config names",
    );
}

#[test]
fn a_changed_description_changes_its_stacks() {
    let before = good_file(&with_users("[[prefix]]\nkey = ''\nstack = 'ram > sql(users)'"));
    let after =
        good_file(&with_users("[[prefix]]\nkey = ''\nstack = 'ram > sql(users)'").replace("db1", "db2"));
    let changes = before.changes(&after).expect("it can change");
    let lines: Vec<String> = changes.list.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "prefix \"\": ram > sql(users, write=through, negative_ttl=1s, fresh=5s), as the tables are described now"
        ]
    );
    assert_eq!(before.moved(&after).len(), 1, "copies of the old rows are forgotten");
}
