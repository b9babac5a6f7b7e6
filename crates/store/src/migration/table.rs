//! A small vocabulary for tables, so that a migration reads like the schema it makes.

use sea_orm_migration::prelude::{
    ColumnDef, ForeignKey, ForeignKeyAction, Index, IndexCreateStatement, TableCreateStatement,
};
use sea_orm_migration::sea_orm::DbBackend;

/// A table under construction.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    statement: TableCreateStatement,
    indexes: Vec<IndexCreateStatement>,
}

impl Table {
    pub(super) fn new(name: &'static str) -> Self {
        let mut statement = TableCreateStatement::new();
        statement.table(name);
        Self { name, statement, indexes: vec![] }
    }

    pub(super) fn columns(mut self, columns: impl IntoIterator<Item = ColumnDef>) -> Self {
        for column in columns {
            self.statement.col(column);
        }
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
        if backend == DbBackend::MySql {
            // Case and trailing blanks count; the other databases compare so by themselves.
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
