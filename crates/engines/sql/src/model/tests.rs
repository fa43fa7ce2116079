use super::*;

const GOOD: &str = r#"
server_role = "default_role"
node_id = 7

[[cluster]]
name = "main"
url = "mysql://app@db1:3306,db2/demo"

[[container]]
name = "demo_tabs"
schema = "ndbmemcache"
table = "demo_table_tabs"
key_columns = ["mkey"]
value_columns = "val1, val2 val3"
flags = "flags"
expire_time_column = "expire_time"
[container.options]
value_format = "tsv"
text_arithmetic = true

[[container]]
name = "sequence"
table = "seq"
key_columns = "name"
value_columns = ["value"]
increment_column = "value"
flags = 77

[[prefix]]
prefix = "t:"
policy = "caching"
container = "demo_tabs"

[[prefix]]
prefix = "mc:"
policy = "memcache-only"
"#;

fn model() -> Model {
    Model::from_toml(GOOD).expect("the model can be read")
}

#[test]
fn a_model_is_read_from_toml_with_its_defaults() {
    let model = model();
    assert_eq!(model.check(), []);
    let tabs = model.container("demo_tabs").expect("it is there");
    assert_eq!(tabs.value_columns.0, ["val1", "val2", "val3"]);
    assert_eq!(tabs.flags, Flags::Column("flags".into()));
    assert_eq!(tabs.options.text_arithmetic, TextArithmetic::Digits);
    assert_eq!(tabs.options.key_separator, "\t");
    assert_eq!(model.container("sequence").expect("it is there").flags, Flags::Constant(77));
    let prefix = &model.prefixes[0];
    assert_eq!(model.cluster_of(prefix).expect("the only one").name, "main");
    assert_eq!(model.policy("ndb-test").map(|policy| policy.flush_from_db), Some(true));
    assert_eq!(model.own_prefixes().count(), 2);
}

#[test]
fn a_model_is_written_as_it_is_read() {
    let written = model().to_toml().expect("every model can be written");
    let mut file: toml::Table = written.parse().expect("it is TOML");
    let part = file.remove("sql").expect("the part is there");
    assert_eq!(part.try_into::<Model>().expect("it can be read"), model(), "{written}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let unknown =
        Model::from_toml("[[container]]\nname = \"c\"\ntabel = \"t\"\n").expect_err("an unknown key");
    assert!(unknown.to_string().contains("tabel") && unknown.to_string().contains("line 3"), "{unknown}");
    let route = "[[policy]]\nname = \"p\"\nget = \"sometimes\"\nset = \"db_only\"\ndelete = \"db_only\"\n";
    let route = Model::from_toml(route).expect_err("no such route");
    assert!(route.to_string().contains("sometimes"), "{route}");
}

/// Each row: what to break, what fault must be found, and what the text must name.
#[test]
fn every_fault_of_a_model_is_found_by_name() {
    type Break = fn(&mut Model);
    let cases: [(&str, Break, Fault, &str); 13] = [
        ("role", |model| model.server_role = Some("shop".into()), Fault::UnknownRole, "shop"),
        ("policy", |model| model.prefixes[0].policy = "fast".into(), Fault::UnknownPolicy, "fast"),
        (
            "container",
            |model| model.prefixes[0].container = Some("tabs".into()),
            Fault::UnknownContainer,
            "tabs",
        ),
        ("cluster", |model| model.prefixes[0].cluster = Some("other".into()), Fault::UnknownCluster, "other"),
        ("no container", |model| model.prefixes[0].container = None, Fault::ContainerMissing, "t:"),
        (
            "idle container",
            |model| model.prefixes[1].container = Some("sequence".into()),
            Fault::ContainerUnused,
            "mc:",
        ),
        (
            "nothing mapped",
            |model| model.containers[0].value_columns = NameList::default(),
            Fault::NothingMapped,
            "demo_tabs",
        ),
        (
            "no key",
            |model| model.containers[0].key_columns = NameList::default(),
            Fault::ColumnCount,
            "demo_tabs",
        ),
        (
            "large values",
            |model| model.containers[0].large_values_table = "parts".into(),
            Fault::LargeValues,
            "demo_tabs",
        ),
        (
            "column twice",
            |model| model.containers[0].cas_column = "flags".into(),
            Fault::ColumnTwice,
            "flags",
        ),
        (
            "key is value",
            |model| model.containers[0].value_columns.0.push("mkey".into()),
            Fault::ColumnTwice,
            "mkey",
        ),
        ("prefix twice", |model| model.prefixes.push(model.prefixes[0].clone()), Fault::PrefixTwice, "t:"),
        ("separator", |model| model.containers[0].options.separator.clear(), Fault::Separator, "demo_tabs"),
    ];
    for (what, damage, fault, name) in cases {
        let mut broken = model();
        damage(&mut broken);
        let findings = broken.check();
        let found = findings.iter().any(|finding| finding.fault == fault && finding.text.contains(name));
        assert!(found, "{what}: expected {fault:?} naming `{name}`, got {findings:?}");
    }
}

#[test]
fn a_policy_that_writes_a_cache_it_never_reads_is_worth_a_warning() {
    let mut model = model();
    model.policies.push(Policy {
        name: "odd".into(),
        get: Route::DbOnly,
        set: Route::Caching,
        delete: Route::DbOnly,
        flush_from_db: false,
        cache_ttl: 5,
    });
    model.prefixes[0].policy = "odd".into();
    let findings = model.check();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].to_string().starts_with("warning: ") && findings[0].text.contains("odd"));
}
