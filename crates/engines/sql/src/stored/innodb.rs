//! The tables of the InnoDB plugin: `cache_policies`, `containers`, `config_options`.

use std::collections::HashMap;

use super::{LoadError, Named, Reader, Stored, text};
use crate::model::{
    Container, ContainerOptions, DEFAULT_ROLE, ExpireOnRead, Flags, MissingFields, Model, NameList, Policy,
    Prefix, Role, Route, TextArithmetic, ValueFormat,
};

/// The one policy that counts, for all containers.
const POLICY: &str = "innodb";

/// Names that mean: there is no such column.
fn column(row: &Named, name: &str) -> String {
    match text(row, name) {
        name if matches!(name.as_str(), "0" | "unknown") => String::new(),
        name => name,
    }
}

/// The default container takes all keys; another takes those that begin with `@@`, its name and the delimiter.
pub(super) async fn load(reader: &mut Reader<'_>, file: &Model) -> Result<Stored, LoadError> {
    let mut notes = Vec::new();
    let mut settings = HashMap::new();
    for row in reader.rows("config_options", &["name", "value"]).await? {
        settings.insert(text(&row, "name"), text(&row, "value"));
    }
    let setting =
        |name: &str, default: &str| settings.get(name).cloned().unwrap_or_else(|| default.to_owned());
    let (separator, delimiter) = (setting("separator", "|"), setting("table_map_delimiter", "."));
    let mut model = file.clone();
    model.roles.push(Role { name: DEFAULT_ROLE.into(), id: 0, max_tps: 100_000 });
    model.policies.push(policy(reader, &mut notes).await?);
    let columns = [
        "name",
        "db_schema",
        "db_table",
        "key_columns",
        "value_columns",
        "flags",
        "cas_column",
        "expire_time_column",
    ];
    let rows = reader.rows("containers", &columns).await?;
    let default = rows.iter().find(|row| text(row, "name") == "default").or_else(|| rows.first());
    let default = default.map(|row| text(row, "name"));
    for row in &rows {
        let container = container(row, &separator);
        let is_default = Some(&container.name) == default.as_ref();
        let prefix = if is_default { String::new() } else { format!("@@{}{delimiter}", container.name) };
        model.prefixes.push(Prefix {
            role: DEFAULT_ROLE.into(),
            prefix,
            cluster: None,
            policy: POLICY.into(),
            container: Some(container.name.clone()),
        });
        model.containers.push(container);
    }
    notes.push("batch sizes and background commits of the plugin have no meaning here: every write is committed before its answer".into());
    Ok(Stored { model, version: "innodb_memcache".into(), notes, changed: HashMap::new() })
}

async fn policy(reader: &mut Reader<'_>, notes: &mut Vec<String>) -> Result<Policy, LoadError> {
    let columns = ["policy_name", "get_policy", "set_policy", "delete_policy", "flush_policy"];
    let rows = reader.rows("cache_policies", &columns).await?;
    if rows.len() > 1 {
        notes.push(format!(
            "of {} cache policies only `{}` counts",
            rows.len(),
            text(&rows[0], "policy_name")
        ));
    }
    let route = |column: &str| {
        let word = rows.first().map(|row| text(row, column)).unwrap_or_default();
        Route::from_word(&word).unwrap_or(Route::DbOnly)
    };
    Ok(Policy {
        name: POLICY.into(),
        get: route("get_policy"),
        set: route("set_policy"),
        delete: route("delete_policy"),
        flush_from_db: route("flush_policy").uses_database(),
        cache_ttl: 5,
    })
}

fn container(row: &Named, separator: &str) -> Container {
    let marks = [';', '|'];
    Container {
        name: text(row, "name"),
        schema: text(row, "db_schema"),
        table: text(row, "db_table"),
        key_columns: NameList::split(&text(row, "key_columns"), &marks),
        value_columns: NameList::split(&text(row, "value_columns"), &marks),
        flags: Flags::from(column(row, "flags").as_str()),
        cas_column: column(row, "cas_column"),
        expire_time_column: column(row, "expire_time_column"),
        options: ContainerOptions {
            value_format: ValueFormat::Sep,
            separator: separator.into(),
            missing_fields: MissingFields::Null,
            expire_on_read: ExpireOnRead::Hide,
            text_arithmetic: TextArithmetic::Digits,
            ..ContainerOptions::default()
        },
        ..Container::default()
    }
}
