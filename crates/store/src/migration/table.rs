//! A small vocabulary for tables, so that a migration reads like the schema it makes.

use sea_orm_migration::prelude::{
    ColumnDef, ColumnType, ForeignKey, ForeignKeyAction, Index, IndexCreateStatement, TableCreateStatement,
};
use sea_orm_migration::sea_orm::DbBackend;

/// A table under construction.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    columns: Vec<ColumnDef>,
    statement: TableCreateStatement,
    indexes: Vec<IndexCreateStatement>,
}

impl Table {
    pub(super) fn new(name: &'static str) -> Self {
        let mut statement = TableCreateStatement::new();
        statement.table(name);
        Self { name, columns: vec![], statement, indexes: vec![] }
    }

    pub(super) fn columns(mut self, columns: impl IntoIterator<Item = ColumnDef>) -> Self {
        self.columns.extend(columns);
        self
    }

    pub(super) fn key(mut self, columns: &[&'static str]) -> Self {
        let mut key = Index::create();
        for column in columns {
            key.col(*column);
        }
        self.statement.primary_key(&mut key);
        self
    }

    pub(super) fn refers(
        mut self,
        column: &'static str,
        table: &'static str,
        key: &'static str,
        on_delete: ForeignKeyAction,
    ) -> Self {
        let name = format!("fk_{}_{column}", self.name);
        self.statement.foreign_key(
            ForeignKey::create().name(name).from(self.name, column).to(table, key).on_delete(on_delete),
        );
        self
    }

    pub(super) fn index(self, name: &'static str, columns: &[&'static str]) -> Self {
        self.any_index(name, columns, false)
    }

    pub(super) fn unique(self, name: &'static str, columns: &[&'static str]) -> Self {
        self.any_index(name, columns, true)
    }

    fn any_index(mut self, name: &'static str, columns: &[&'static str], unique: bool) -> Self {
        let mut index = Index::create();
        index.name(name).table(self.name);
        for column in columns {
            index.col(*column);
        }
        if unique {
            index.unique();
        }
        self.indexes.push(index);
        self
    }

    pub(super) fn into_statements(
        mut self,
        backend: DbBackend,
    ) -> (TableCreateStatement, Vec<IndexCreateStatement>) {
        for mut column in self.columns {
            let kind = column.get_column_type();
            match backend {
                // 16 MiB, as an accepted request may be larger than the 64 KiB of its `TEXT`.
                DbBackend::MySql if matches!(kind, Some(ColumnType::Text)) => {
                    column.custom("mediumtext");
                }
                // The same order of text on every database, whatever the server's locale.
                DbBackend::Postgres if matches!(kind, Some(ColumnType::Text | ColumnType::String(_))) => {
                    column.extra("COLLATE \"C\"");
                }
                _ => {}
            }
            self.statement.col(column);
        }
        if backend == DbBackend::MySql {
            // Case and trailing blanks count, as they do on the other databases.
            self.statement.character_set("utf8mb4").collate("utf8mb4_nopad_bin");
        }
        (self.statement, self.indexes)
    }
}

pub(super) fn id(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string_len(36).not_null().take()
}

pub(super) fn id_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string_len(36).null().take()
}

/// Text of at most `length` characters.
pub(super) fn text(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).not_null().take()
}

pub(super) fn text_null(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).null().take()
}

/// A word of an enumeration.
pub(super) fn word(name: &'static str) -> ColumnDef {
    text(name, 32)
}

/// JSON, or text without a bound of its own.
pub(super) fn long(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

pub(super) fn long_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().null().take()
}

/// A number, or a time in microseconds.
pub(super) fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

pub(super) fn number_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

pub(super) fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().take()
}

/// A number the database gives, rising.
pub(super) fn serial(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().auto_increment().primary_key().take()
}

/// What every resource of a load balancer has first.
pub(super) fn resource() -> Vec<ColumnDef> {
    vec![id("id"), text("project_id", 36), text("name", 255), flag("admin_state_up")]
}

/// Both statuses and the reason, tags, times.
pub(super) fn state() -> Vec<ColumnDef> {
    vec![
        word("provisioning_status"),
        word("operating_status"),
        long_null("reason"),
        long("tags"),
        number("created_at"),
        number_null("updated_at"),
    ]
}
