//! The cases. What is said and what comes back: see [`super::support::script`].

use larder_sql::dialect::Product;

/// A container on fresh tables, and a conversation with it.
pub struct Case {
    pub name: &'static str,
    /// Statements that make the tables; `{t}` is the container's.
    pub tables: &'static str,
    /// The container, as in a configuration.
    pub container: &'static str,
    pub lines: &'static [(&'static str, &'static str)],
    /// Products that have nothing of the kind.
    pub not_on: &'static [Product],
}

const DEMO_TABLE: &str = "CREATE TABLE {t} (mkey {key} NOT NULL PRIMARY KEY, math_value {u64}, flags {u32}, \
                          cas_value {u64}, string_value {bytes})";
const DEMO: &str = "key_columns = \"mkey\"\nvalue_columns = \"string_value\"\nflags = \"flags\"\n\
                    increment_column = \"math_value\"\ncas_column = \"cas_value\"\n";

const TABS_TABLE: &str = "CREATE TABLE {t} (mkey int NOT NULL PRIMARY KEY, val1 varchar(60), val2 varchar(10), \
                          val3 int, flags {u32}, expire_time {stamp})";
const TABS: &str = "key_columns = \"mkey\"\nvalue_columns = \"val1 val2 val3\"\nflags = \"flags\"\n\
                    expire_time_column = \"expire_time\"\n";

const PLAIN_TABLE: &str = "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v {bytes})";
const PLAIN: &str = "key_columns = \"k\"\nvalue_columns = \"v\"\n";

const NUMBER: &str = "NotNumeric: cannot increment or decrement non-numeric value";
const LARGE: &str = "TooLarge: object too large for cache";

pub fn all() -> Vec<Case> {
    [basic(), cas(), counters(), expiry(), keys(), fields()].into_iter().flatten().collect()
}

fn case(
    name: &'static str,
    tables: &'static str,
    container: &'static str,
    lines: &'static [(&'static str, &'static str)],
) -> Case {
    Case { name, tables, container, lines, not_on: &[] }
}

fn basic() -> Vec<Case> {
    vec![
        case(
            "B1, B2: what is set is in the row, and what is in the row is got",
            DEMO_TABLE,
            DEMO,
            &[
                ("set k1 5 0 abc", "STORED"),
                (
                    "SQL> SELECT flags, math_value, cas_value <> 0 FROM {t} WHERE mkey = 'k1'",
                    "5|NULL|1 ## 5|NULL|t ## 5|NULL|1",
                ),
                ("get k1", "5 abc"),
                ("SQL> INSERT INTO {t} (mkey, string_value) VALUES ('k2', 'from sql')", ""),
                ("get k2", "0 from sql"),
            ],
        ),
        case(
            "B3 to B6: add, replace, append, prepend, delete look at what is there",
            DEMO_TABLE,
            DEMO,
            &[
                ("set k1 5 0 abc", "STORED"),
                ("add k1 0 0 x", "NOT_STORED"),
                ("add k3 0 0 x", "STORED"),
                ("replace none 0 0 x", "NOT_STORED"),
                ("replace k3 0 0 y", "STORED"),
                ("append k1 9 0 X", "STORED"),
                ("prepend k1 9 0 Y", "STORED"),
                ("append none 0 0 x", "NOT_STORED"),
                ("get k1", "5 YabcX"),
                ("delete k1", "DELETED"),
                ("delete k1", "NOT_FOUND"),
                ("SQL> SELECT count(*) FROM {t} WHERE mkey = 'k1'", "0"),
            ],
        ),
        case(
            "B7: columns that are not mapped stay, and have their defaults in new rows",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v varchar(20), note varchar(10) DEFAULT 'n')",
            PLAIN,
            &[
                ("SQL> INSERT INTO {t} VALUES ('old', 'x', 'keep')", ""),
                ("set old 0 0 y", "STORED"),
                ("set new 0 0 z", "STORED"),
                ("SQL> SELECT k, v, note FROM {t} ORDER BY k", "new|z|n;old|y|keep"),
            ],
        ),
        case(
            "B8: an empty value is empty, not NULL",
            PLAIN_TABLE,
            PLAIN,
            &[
                ("set k 0 0 _", "STORED"),
                ("get k", "0 "),
                ("SQL> SELECT v IS NULL, length(v) FROM {t}", "0|0 ## f|0 ## 0|0"),
                ("SQL> UPDATE {t} SET v = NULL", ""),
                ("get k", "0 "),
            ],
        ),
        case(
            "B15: a clash on another unique column changes no other row",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, email varchar(50) UNIQUE)",
            "key_columns = \"k\"\nvalue_columns = \"email\"\n",
            &[
                ("set a 0 0 a@x", "STORED"),
                (
                    "set b 0 0 a@x",
                    "Internal: constraint violation (1062) ## Internal: constraint violation (23505) ## \
                     Internal: constraint violation (2067)",
                ),
                ("get a", "0 a@x"),
                ("get b", "END"),
            ],
        ),
        case(
            "A7: rows that need an unmapped column can be changed, not added",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v varchar(20), must int NOT NULL)",
            PLAIN,
            &[
                ("SQL> INSERT INTO {t} VALUES ('old', 'x', 1)", ""),
                ("set new 0 0 y", "NOT_STORED"),
                ("add new 0 0 y", "NOT_STORED"),
                ("set old 0 0 y", "STORED"),
                ("SQL> SELECT k, v, must FROM {t}", "old|y|1"),
            ],
        ),
        case(
            "a row that is deleted and added again in SQL is seen at once",
            PLAIN_TABLE,
            PLAIN,
            &[
                ("set k 0 0 a", "STORED"),
                ("SQL> DELETE FROM {t}", ""),
                ("get k", "END"),
                ("SQL> INSERT INTO {t} VALUES ('k', 'b')", ""),
                ("get k", "0 b"),
                ("flush", "OK"),
                ("SQL> SELECT count(*) FROM {t}", "0"),
            ],
        ),
    ]
}

fn cas() -> Vec<Case> {
    vec![
        case(
            "C1, C2: a CAS is good once",
            DEMO_TABLE,
            DEMO,
            &[
                ("set k 0 0 a", "STORED"),
                ("gets k $one", "0 a"),
                ("cas k 0 0 $one b", "STORED"),
                ("cas k 0 0 $one c", "EXISTS"),
                ("cas none 0 0 $one c", "NOT_FOUND"),
                ("get k", "0 b"),
            ],
        ),
        case(
            "C4: a row that SQL wrote without a CAS can be changed by the CAS that gets shows",
            DEMO_TABLE,
            DEMO,
            &[
                ("SQL> INSERT INTO {t} (mkey, string_value) VALUES ('k', 'sql')", ""),
                ("gets k $one", "0 sql"),
                ("cas k 0 0 $one b", "STORED"),
                ("SQL> SELECT cas_value IS NULL FROM {t}", "0 ## f ## 0"),
                ("cas k 0 0 $one c", "EXISTS"),
            ],
        ),
        case(
            "C5, C6: without a CAS column the content of the mapped columns decides",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v varchar(20), note varchar(10))",
            PLAIN,
            &[
                ("set k 0 0 a", "STORED"),
                ("gets k $one", "0 a"),
                ("SQL> UPDATE {t} SET note = 'x'", ""),
                ("cas k 0 0 $one b", "STORED"),
                ("gets k $two", "0 b"),
                ("SQL> UPDATE {t} SET v = 'sql'", ""),
                ("cas k 0 0 $two c", "EXISTS"),
                ("get k", "0 sql"),
            ],
        ),
        case(
            "C7, C9: delete honours a CAS, touch leaves it",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v {bytes}, cas {u64}, expires {stamp})",
            "key_columns = \"k\"\nvalue_columns = \"v\"\ncas_column = \"cas\"\nexpire_time_column = \"expires\"\n",
            &[
                ("set k 0 0 a", "STORED"),
                ("gets k $old", "0 a"),
                ("set k 0 0 b", "STORED"),
                ("delete k $old", "EXISTS"),
                ("gets k $new", "0 b"),
                ("touch k 100", "TOUCHED"),
                ("delete k $new", "DELETED"),
                ("get k", "END"),
            ],
        ),
        case(
            "C11: a container without CAS refuses it",
            PLAIN_TABLE,
            "key_columns = \"k\"\nvalue_columns = \"v\"\n[container.options]\ncas_mode = \"none\"\n",
            &[
                ("set k 0 0 a", "STORED"),
                ("gets k $one", "0 a"),
                ("cas k 0 0 $one b", "Unsupported: cas is not supported for this prefix"),
                ("get k", "0 a"),
            ],
        ),
    ]
}

fn counters() -> Vec<Case> {
    vec![
        case(
            "D1 to D6: a number beside a text",
            DEMO_TABLE,
            DEMO,
            &[
                ("set n 3 0 41", "STORED"),
                ("incr n 1", "42"),
                ("get n", "3 42"),
                ("SQL> SELECT math_value, string_value FROM {t}", "42|NULL"),
                ("decr n 100", "0"),
                ("incr none 1", "NOT_FOUND"),
                ("SQL> SELECT count(*) FROM {t}", "1"),
                ("set n 0 0 abc", "STORED"),
                ("incr n 1", NUMBER),
                ("get n", "0 abc"),
                ("count new 3 7", "7"),
                ("count new 3 7", "10"),
            ],
        ),
        Case {
            not_on: &[Product::Sqlite],
            ..case(
                "D7: a counter of 64 bits wraps",
                DEMO_TABLE,
                DEMO,
                &[
                    ("SQL> INSERT INTO {t} (mkey, math_value) VALUES ('n', 18446744073709551615)", ""),
                    ("incr n 2", "1"),
                    ("SQL> UPDATE {t} SET math_value = 5", ""),
                    ("decr n 9", "0"),
                    ("incr n 18446744073709551615", "18446744073709551615"),
                ],
            )
        },
        case(
            "D8: a narrow counter does not wrap",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, n smallint)",
            "key_columns = \"k\"\nincrement_column = \"n\"\n",
            &[
                ("set n 0 0 32767", "STORED"),
                ("incr n 1", "BadArgument: increment exceeds column range"),
                ("incr n 18446744073709551615", "BadArgument: increment exceeds column range"),
                ("decr n 1", "32766"),
                ("incr n 1", "32767"),
                ("set n 0 0 32768", LARGE),
                ("set n 0 0 x", "BadArgument: bad value for column n"),
                ("get n", "0 32767"),
                ("SQL> UPDATE {t} SET n = NULL", ""),
                ("incr n 1", NUMBER),
                ("SQL> UPDATE {t} SET n = -1", ""),
                ("incr n 1", NUMBER),
            ],
        ),
        Case {
            not_on: &[Product::MySql, Product::Postgres],
            ..case(
                "D9: SQLite's integers do not become fractions",
                "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, n bigint)",
                "key_columns = \"k\"\nincrement_column = \"n\"\n",
                &[
                    ("set n 0 0 9223372036854775807", "STORED"),
                    ("incr n 1", "BadArgument: increment exceeds column range"),
                    ("SQL> SELECT typeof(n), n FROM {t}", "integer|9223372036854775807"),
                ],
            )
        },
        case(
            "D14: the text may follow the number",
            DEMO_TABLE,
            "key_columns = \"mkey\"\nvalue_columns = \"string_value\"\nincrement_column = \"math_value\"\n\
             [container.options]\nmirror_text = true\n",
            &[
                ("set n 0 0 9", "STORED"),
                ("incr n 1", "10"),
                ("SQL> SELECT math_value, string_value FROM {t}", "10|10 ## 10|\\x3130 ## 10|10"),
            ],
        ),
        case(
            "D15: digits in a text",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v varchar(30))",
            "key_columns = \"k\"\nvalue_columns = \"v\"\n[container.options]\ntext_arithmetic = true\n",
            &[
                ("set n 0 0 0099", "STORED"),
                ("incr n 1", "100"),
                ("get n", "0 100"),
                ("SQL> UPDATE {t} SET v = ' 9'", ""),
                ("incr n 1", NUMBER),
            ],
        ),
        case(
            "D16: what is appended to digits makes a number again",
            DEMO_TABLE,
            DEMO,
            &[
                ("set n 0 0 15", "STORED"),
                ("append n 0 0 5", "STORED"),
                ("SQL> SELECT math_value FROM {t}", "155"),
                ("get n", "0 155"),
                ("append n 0 0 x", "STORED"),
                ("SQL> SELECT math_value FROM {t}", "NULL"),
            ],
        ),
        case(
            "D17: no counter, no arithmetic",
            PLAIN_TABLE,
            PLAIN,
            &[
                ("set n 0 0 1", "STORED"),
                ("incr n 1", "Unsupported: incr/decr is not supported for this prefix"),
            ],
        ),
        case(
            "D18: a counter has a new CAS at every step",
            DEMO_TABLE,
            DEMO,
            &[
                ("set n 0 0 1", "STORED"),
                ("gets n $one", "0 1"),
                ("incr n 1", "2"),
                ("cas n 0 0 $one 5", "EXISTS"),
                ("get n", "0 2"),
            ],
        ),
        case(
            "the sequence generator hands out numbers and blocks of numbers",
            "CREATE TABLE {t} (name {key} NOT NULL PRIMARY KEY, value {u64} NOT NULL DEFAULT 0)",
            "key_columns = \"name\"\nvalue_columns = \"value\"\nincrement_column = \"value\"\n",
            &[
                ("SQL> INSERT INTO {t} (name) VALUES ('docId')", ""),
                ("incr docId 1", "1"),
                ("incr docId 1", "2"),
                ("incr docId 10", "12"),
                ("SQL> UPDATE {t} SET value = value + 1", ""),
                ("incr docId 1", "14"),
                ("SQL> SELECT value FROM {t}", "14"),
            ],
        ),
    ]
}

fn expiry() -> Vec<Case> {
    vec![
        case(
            "E1, E2, E4: rows expire, and are removed when that is seen",
            TABS_TABLE,
            TABS,
            &[
                ("set 5 9 2 a⇥b⇥3", "STORED"),
                ("get 5", "9 a⇥b⇥3"),
                ("wait 2", ""),
                ("get 5", "END"),
                ("set 6 0 2 a⇥b⇥3", "STORED"),
                ("set 6 0 0 a⇥b⇥4", "STORED"),
                ("SQL> SELECT expire_time FROM {t} WHERE mkey = 6", "NULL"),
                ("wait 9", ""),
                ("touch 6 100", "TOUCHED"),
                ("gat 6 200", "0 a⇥b⇥4"),
                ("wait 199", ""),
                ("get 6", "0 a⇥b⇥4"),
                ("wait 1", ""),
                ("touch 6 1", "NOT_FOUND"),
            ],
        ),
        case(
            "E5: an expired row is missing for every command",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v {bytes}, n {u64}, expires {stamp})",
            "key_columns = \"k\"\nvalue_columns = \"v\"\nincrement_column = \"n\"\nexpire_time_column = \"expires\"\n\
             [container.options]\nexpire_on_read = \"hide\"\n",
            &[
                ("set k 0 1 1", "STORED"),
                ("wait 1", ""),
                ("replace k 0 0 2", "NOT_STORED"),
                ("append k 0 0 2", "NOT_STORED"),
                ("incr k 1", "NOT_FOUND"),
                ("delete k", "NOT_FOUND"),
                ("touch k 100", "NOT_FOUND"),
                ("get k", "END"),
                ("SQL> SELECT count(*) FROM {t}", "1"),
                ("count k 1 7", "7"),
                ("get k", "0 7"),
                ("set k 0 1 1", "STORED"),
                ("wait 1", ""),
                ("add k 0 0 9", "STORED"),
                ("get k", "0 9"),
            ],
        ),
        case(
            "E6, E8: a past expiry is past, whoever wrote it",
            TABS_TABLE,
            TABS,
            &[
                ("set 1 0 0 a", "STORED"),
                ("SQL> UPDATE {t} SET expire_time = '2001-01-01 00:00:00'", ""),
                ("get 1", "END"),
                ("set 2 0 -1 a", "STORED"),
                ("get 2", "END"),
            ],
        ),
        case(
            "E9: an expiry beyond the column is its last moment",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v {bytes}, expires {stamp})",
            "key_columns = \"k\"\nvalue_columns = \"v\"\nexpire_time_column = \"expires\"\n",
            &[("set k 0 2394967295 v", "STORED"), ("get k", "0 v")],
        ),
        case(
            "E10: without a column an expiry is ignored, and a past one keeps nothing",
            PLAIN_TABLE,
            PLAIN,
            &[
                ("set k 0 1 v", "STORED"),
                ("wait 2", ""),
                ("get k", "0 v"),
                ("set k 0 -1 w", "STORED"),
                ("SQL> SELECT count(*) FROM {t}", "0"),
            ],
        ),
        case(
            "E10: without a column an expiry may be refused",
            PLAIN_TABLE,
            "key_columns = \"k\"\nvalue_columns = \"v\"\n[container.options]\nexpire_without_column = \"reject\"\n",
            &[
                ("set k 0 1 v", "BadArgument: expiration not supported for this prefix"),
                ("get k", "END"),
                ("set k 0 0 v", "STORED"),
            ],
        ),
        case(
            "E12: constant flags",
            PLAIN_TABLE,
            "key_columns = \"k\"\nvalue_columns = \"v\"\nflags = 77\n",
            &[("set k 5 0 v", "STORED"), ("get k", "77 v")],
        ),
        case(
            "E13: flags that do not fit their column",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v {bytes}, flags smallint)",
            "key_columns = \"k\"\nvalue_columns = \"v\"\nflags = \"flags\"\n",
            &[("set k 5 0 v", "STORED"), ("set k 70000 0 w", LARGE), ("get k", "5 v")],
        ),
        case(
            "E14: 0 is never where the column must have a number",
            "CREATE TABLE {t} (k {key} NOT NULL PRIMARY KEY, v {bytes}, expires bigint NOT NULL)",
            "key_columns = \"k\"\nvalue_columns = \"v\"\nexpire_time_column = \"expires\"\n",
            &[
                ("set k 0 0 v", "STORED"),
                ("SQL> SELECT expires FROM {t}", "0"),
                ("wait 1000", ""),
                ("get k", "0 v"),
            ],
        ),
    ]
}

fn keys() -> Vec<Case> {
    vec![
        case(
            "F1, F2: keys of two parts",
            "CREATE TABLE {t} (region varchar(10) NOT NULL, nr int NOT NULL, v varchar(20), PRIMARY KEY (region, nr))",
            "key_columns = \"region nr\"\nvalue_columns = \"v\"\n",
            &[
                ("set eu⇥17 0 0 x", "STORED"),
                ("SQL> SELECT region, nr, v FROM {t}", "eu|17|x"),
                ("get eu⇥17", "0 x"),
                ("get eu", "END"),
                ("get eu⇥17⇥1", "END"),
                ("get eu⇥x", "END"),
                ("delete eu", "NOT_FOUND"),
                ("incr eu 1", "NOT_FOUND"),
                ("replace eu 0 0 x", "NOT_STORED"),
            ],
        ),
        case(
            "F3, F4: an integer key has one spelling and does not wrap",
            "CREATE TABLE {t} (k int NOT NULL PRIMARY KEY, v varchar(20))",
            PLAIN,
            &[
                ("set 7 0 0 x", "STORED"),
                ("get 07", "END"),
                ("get +7", "END"),
                ("get 4294967303", "END"),
                ("delete 4294967303", "NOT_FOUND"),
                ("get 7", "0 x"),
            ],
        ),
        Case {
            not_on: &[Product::Postgres],
            ..case(
                "F6: a key that the column takes for another's is a miss, and is not written over",
                "CREATE TABLE {t} (k {folded} NOT NULL PRIMARY KEY, v varchar(20))",
                PLAIN,
                &[
                    ("SQL> INSERT INTO {t} VALUES ('Anna', 'x')", ""),
                    ("get anna", "END"),
                    ("set anna 0 0 y", "Internal: key collides with another row"),
                    ("delete anna", "NOT_FOUND"),
                    ("get Anna", "0 x"),
                    ("set Anna 0 0 z", "STORED"),
                    ("SQL> SELECT k, v FROM {t}", "Anna|z"),
                ],
            )
        },
        Case {
            not_on: &[Product::Postgres],
            ..case(
                "F6: unless the container goes by the column's comparison",
                "CREATE TABLE {t} (k {folded} NOT NULL PRIMARY KEY, v varchar(20))",
                "key_columns = \"k\"\nvalue_columns = \"v\"\n[container.options]\nkey_match = \"collation\"\n",
                &[
                    ("SQL> INSERT INTO {t} VALUES ('Anna', 'x')", ""),
                    ("get anna", "0 x"),
                    ("set anna 0 0 y", "STORED"),
                    ("SQL> SELECT k, v FROM {t}", "Anna|y"),
                ],
            )
        },
        case(
            "F16: a container on a unique index, with a primary key that counts by itself",
            "CREATE TABLE {t} (id {serial}, k varchar(50) NOT NULL UNIQUE, v varchar(20))",
            PLAIN,
            &[
                ("set a 0 0 x", "STORED"),
                ("set a 0 0 y", "STORED"),
                ("set b 0 0 z", "STORED"),
                ("SQL> SELECT id, k, v FROM {t} ORDER BY id", "1|a|y;2|b|z"),
                ("delete a", "DELETED"),
                ("SQL> SELECT k FROM {t}", "b"),
            ],
        ),
        case(
            "F19: another separator between the parts",
            "CREATE TABLE {t} (a varchar(10) NOT NULL, b varchar(10) NOT NULL, v varchar(20), PRIMARY KEY (a, b))",
            "key_columns = \"a b\"\nvalue_columns = \"v\"\n[container.options]\nkey_separator = \":\"\n",
            &[("set x:y 0 0 v", "STORED"), ("SQL> SELECT a, b FROM {t}", "x|y"), ("get x:y", "0 v")],
        ),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        case(
            "F7 to F11, F15: a value of three columns",
            TABS_TABLE,
            TABS,
            &[
                ("set 1 0 0 a⇥b⇥3", "STORED"),
                ("SQL> SELECT val1, val2, val3 FROM {t}", "a|b|3"),
                ("get 1", "0 a⇥b⇥3"),
                ("set 1 0 0 c", "STORED"),
                ("get 1", "0 c⇥b⇥3"),
                ("set 1 0 0 ⇥⇥4", "STORED"),
                ("SQL> SELECT val1, val2, val3 FROM {t}", "NULL|NULL|4"),
                ("get 1", "0 ⇥⇥4"),
                ("set 1 0 0 a⇥b⇥3⇥x", "BadArgument: too many fields for container {t}"),
                ("set 1 0 0 a⇥b⇥x", "BadArgument: bad value for column val3"),
                ("set 1 0 0 a⇥12345678901⇥3", LARGE),
                ("get 1", "0 ⇥⇥4"),
                ("append 1 0 0 x", "NOT_STORED"),
            ],
        ),
        case(
            "F8, F10: missing fields may become NULL, fields too many may be dropped",
            TABS_TABLE,
            "key_columns = \"mkey\"\nvalue_columns = \"val1 val2 val3\"\n[container.options]\n\
             missing_fields = \"null\"\nextra_fields = \"drop\"\n",
            &[
                ("set 1 0 0 a⇥b⇥3⇥x", "STORED"),
                ("get 1", "0 a⇥b⇥3"),
                ("set 1 0 0 c", "STORED"),
                ("get 1", "0 c⇥⇥"),
            ],
        ),
        case(
            "F12: another separator between the fields",
            TABS_TABLE,
            "key_columns = \"mkey\"\nvalue_columns = \"val1 val2 val3\"\n[container.options]\n\
             value_format = \"sep\"\nseparator = \"|\"\n",
            &[
                ("set 1 0 0 a||3", "STORED"),
                ("SQL> SELECT val1, val2, val3 FROM {t}", "a|NULL|3"),
                ("get 1", "0 a||3"),
            ],
        ),
        case(
            "B16: a field that a new row needs",
            "CREATE TABLE {t} (k int NOT NULL PRIMARY KEY, a varchar(10), b varchar(10) NOT NULL)",
            "key_columns = \"k\"\nvalue_columns = \"a b\"\n",
            &[
                ("set 1 0 0 x", "NOT_STORED"),
                ("set 1 0 0 x⇥y", "STORED"),
                ("set 1 0 0 z", "STORED"),
                ("get 1", "0 z⇥y"),
            ],
        ),
    ]
}
