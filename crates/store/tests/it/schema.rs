//! The schema is the sum of its migrations, however they are applied.

use octavia_model::WorkerId;
use octavia_store::{Release, Schema, Settlement, Store, StoreOptions};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

use crate::lease::{TTL, acquire};
use crate::{databases, sample};

/// Every column and index, as text, in a fixed order.
async fn described(url: &str) -> Vec<String> {
    let db = Database::connect(url).await.unwrap();
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT concat_ws(' ', table_name, column_name, data_type, character_maximum_length, is_nullable, \
             column_default) AS line FROM information_schema.columns WHERE table_schema = 'public' \
             UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
             UNION ALL SELECT concat_ws(' ', conrelid::regclass::text, pg_get_constraintdef(oid)) FROM pg_constraint \
             WHERE connamespace = 'public'::regnamespace ORDER BY 1"
        }
        DbBackend::MySql => {
            "SELECT concat_ws(' ', table_name, column_name, column_type, is_nullable, column_default, collation_name) \
             AS line FROM information_schema.columns WHERE table_schema = database() \
             UNION ALL SELECT concat_ws(' ', table_name, index_name, seq_in_index, column_name, non_unique) \
             FROM information_schema.statistics WHERE table_schema = database() \
             UNION ALL SELECT concat_ws(' ', table_name, referenced_table_name, delete_rule) \
             FROM information_schema.referential_constraints WHERE constraint_schema = database() ORDER BY 1"
        }
        _ => "SELECT sql AS line FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1",
    };
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    let lines = rows.iter().map(|row| row.try_get::<String>("", "line").unwrap()).collect();
    db.close().await.unwrap();
    lines
}

#[tokio::test]
async fn stepwise_equals_fresh() {
    let fresh = databases::all().await;
    let stepwise = databases::all().await;
    for (fresh, stepwise) in fresh.iter().zip(&stepwise).filter(|(fresh, _)| fresh.url != "sqlite::memory:") {
        fresh.store(StoreOptions::default()).await;
        let expected = described(&fresh.url).await;
        assert!(expected.len() > 20, "{}: {expected:?}", fresh.name);

        let store = Store::connect(&stepwise.url, StoreOptions::default()).await.unwrap();
        while store.migrate_up(1).await.unwrap() > 0 {}
        assert_eq!(described(&stepwise.url).await, expected, "{}", fresh.name);
        // Again: nothing to do.
        store.migrate().await.unwrap();
        store.migrate_down(Some(1)).await.unwrap();
        store.migrate_up(1).await.unwrap();
        assert_eq!(described(&stepwise.url).await, expected, "{}", fresh.name);
        store.migrate_down(None).await.unwrap();
        let left = described(&stepwise.url).await;
        assert!(
            left.iter().all(|line| line.contains("schema_migration") || line.contains("sqlite_")),
            "{left:?}"
        );
        store.migrate().await.unwrap();
        assert_eq!(described(&stepwise.url).await, expected, "{}", fresh.name);
    }
}

/// No types of one database only, and text that compares byte by byte.
#[tokio::test]
async fn plain_types_only() {
    for database in databases::all().await.iter().filter(|database| database.url != "sqlite::memory:") {
        database.store(StoreOptions::default()).await;
        for line in described(&database.url).await {
            for dialect in
                ["json", "uuid", "timestamp", "datetime", "enum", "char(36) NOT", "double", "float"]
            {
                let line = line.to_lowercase().replace("varchar(36)", "").replace("hsts", "");
                assert!(
                    !line.contains(dialect) || line.contains("schema_migration"),
                    "{}: {line}",
                    database.name
                );
            }
            assert!(!line.contains("utf8mb4_general_ci") || line.contains("schema_migration"), "{line}");
        }
    }
}

/// While an installation is renewed, its schema is the next version's and some processes are of this one.
#[tokio::test]
async fn works_with_a_newer_schema_that_only_adds() {
    for database in databases::all().await.iter().filter(|database| database.url != "sqlite::memory:") {
        let store = Store::connect(&database.url, StoreOptions::default()).await.unwrap();
        assert_eq!(store.schema().await.unwrap(), Schema::Absent);
        store.migrate_up(3).await.unwrap();
        let older = store.schema().await.unwrap();
        assert!(
            matches!(&older, Schema::Older(missing) if missing.len() >= 4) && !older.serves(),
            "{older:?}"
        );
        store.migrate().await.unwrap();
        assert_eq!(store.schema().await.unwrap(), Schema::Current);

        let db = Database::connect(&database.url).await.unwrap();
        for sql in [
            "CREATE TABLE future (id VARCHAR(36) NOT NULL PRIMARY KEY)",
            "ALTER TABLE load_balancer ADD COLUMN future BIGINT",
            "ALTER TABLE listener ADD COLUMN future BIGINT NOT NULL DEFAULT 7",
            "ALTER TABLE amphora ADD COLUMN future VARCHAR(36)",
            "CREATE INDEX ix_future ON amphora (future)",
            "INSERT INTO schema_migration (version, applied_at) VALUES ('m9998_future', 0)",
        ] {
            db.execute_unprepared(sql).await.unwrap();
        }
        let newer = store.schema().await.unwrap();
        assert_eq!(newer, Schema::Newer(vec!["m9998_future".to_owned()]));
        assert!(newer.serves());
        let graph = store.lb_create(&sample::small()).await.unwrap();
        let lb = graph.load_balancer.id;
        let lease = acquire(&store, lb).await;
        assert_eq!(store.desired_load(&lease).await.unwrap().graph, graph);
        store.lb_settle(&lease, 1, &Settlement::default()).await.unwrap();
        let release = Release { next_attempt_at: store.now().await.unwrap(), attempts: 0, last_error: None };
        store.lease_release(&lease, release).await.unwrap();
        assert!(store.lease_acquire(lb, WorkerId::new_v4(), TTL).await.unwrap().is_some());

        // One that takes away what this version needs says so.
        let sql = "INSERT INTO schema_migration (version, applied_at) VALUES ('m9999_contract_leases', 0)";
        db.execute_unprepared(sql).await.unwrap();
        assert!(!store.schema().await.unwrap().serves());
        db.close().await.unwrap();
    }
}

/// Processes that start together all find the whole schema.
#[tokio::test]
async fn many_migrate_at_once() {
    for database in databases::all().await.iter().filter(|database| !database.url.starts_with("sqlite:")) {
        let starts = (0..5).map(|_| async {
            let store = Store::connect(&database.url, StoreOptions::default()).await.unwrap();
            store.migrate().await.unwrap();
            store.schema().await.unwrap()
        });
        for schema in futures::future::join_all(starts).await {
            assert_eq!(schema, Schema::Current, "{}", database.name);
        }
    }
}
