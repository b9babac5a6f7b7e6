//! A store moves between databases, and nothing is lost on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use octavia_model::*;
use octavia_store::{
    AmphoraStatistics, Behalf, CopyError, CopyEvent, HeartbeatWrite, ListQuery, OperationPage,
    OperationStart, Receipt, Report, Statistics, StatusWrites, Store, StoreOptions, TurnClaim,
};
use sea_orm::{ConnectionTrait, Database};
use uuid::Uuid;

use crate::change::change;
use crate::databases::{self, TestDatabase};
use crate::lease::acquire;
use crate::sample;

/// Every kind of object, at every attribute, and whatever is remembered about them.
struct Filled {
    graphs: Vec<LoadBalancerGraph>,
    amphora: AmphoraId,
}

async fn fill(store: &Store) -> Filled {
    let project = ProjectId::new("project");
    let limit = Some(Limit::new(7).unwrap());
    store.quota_set(&project, |own| own.l7rule = limit).await.unwrap();
    let receipt = Receipt {
        owner: "project".to_owned(),
        key: "key".to_owned(),
        fingerprint: "f".to_owned(),
        made: "an id".to_owned(),
    };
    let behalf = Behalf { receipt: Some(Arc::new(receipt)), ..Behalf::default() };
    store.on_behalf(behalf).lb_create(&sample::small()).await.unwrap();
    let mut graphs = vec![];
    for graph in [sample::maximal(), sample::small()] {
        graphs.push(sample::create(store, &graph).await.load_balancer.id);
    }
    let lb = graphs[1];
    let lease = acquire(store, lb).await;
    let amphora = sample::amphora(lb);
    store.amphora_insert(&lease, &amphora).await.unwrap();
    let step = |kind: &str| OperationStart {
        id: OperationId::new_v4(),
        kind: kind.to_owned(),
        amphora_id: Some(amphora.id),
        generation: 1,
    };
    let steps = [step("server_boot"), step("spec_push")];
    store.operation_start(&lease, &steps).await.unwrap();
    store.operation_finish(&lease, &[(steps[1].id, Err("“no”".to_owned()))]).await.unwrap();
    let claim = TurnClaim { project_id: project, urgent: true, operation_id: steps[0].id };
    store.turn_ask(&lease, &claim, |_, _| true).await.unwrap();
    let listener = store.lb_fetch(lb).await.unwrap().unwrap().listeners[0].id;
    let statistics = Statistics {
        bytes_in: u64::from(u32::MAX) + 1,
        bytes_out: 2,
        active_connections: 3,
        total_connections: 4,
        request_errors: 5,
    };
    let beat = HeartbeatWrite {
        amphora: amphora.id,
        seq: 1,
        received_at: store.now().await.unwrap(),
        alive: true,
        applied_generation: Some(1),
        report: Report::Totals { boot: Some(Uuid::new_v4()) },
        statistics: BTreeMap::from([(listener, statistics)]),
        statuses: StatusWrites::default(),
        vrrp: Some(VrrpState::Backup),
    };
    assert!(store.heartbeat_apply(&beat).await.unwrap());
    let fetched = async |id| store.lb_fetch(id).await.unwrap().unwrap();
    Filled { graphs: vec![fetched(graphs[0]).await, fetched(lb).await], amphora: amphora.id }
}

/// What the two show to the rest of the program.
async fn assert_same(original: &Store, copy: &Store, filled: &Filled, on: &str) {
    for graph in &filled.graphs {
        let id = graph.load_balancer.id;
        assert_eq!(copy.lb_fetch(id).await.unwrap().as_ref(), Some(graph), "{on}");
        let operations =
            async |store: &Store| store.operation_list(id, OperationPage::First, 100).await.unwrap();
        assert_eq!(operations(copy).await, operations(original).await, "{on}");
    }
    let amphora = async |store: &Store| store.amphora_fetch(filled.amphora).await.unwrap().unwrap();
    assert_eq!(amphora(copy).await, amphora(original).await, "{on}");
    let statistics = async |store: &Store| -> Vec<AmphoraStatistics> {
        store.amphora_stats(filled.amphora).await.unwrap()
    };
    assert_eq!(statistics(copy).await, statistics(original).await, "{on}");
    assert!(!statistics(copy).await.is_empty());
    let project = ProjectId::new("project");
    assert_eq!(
        copy.quota_fetch(&project).await.unwrap(),
        original.quota_fetch(&project).await.unwrap(),
        "{on}"
    );
    assert_eq!(copy.turn_list().await.unwrap(), original.turn_list().await.unwrap(), "{on}");
    let rows = async |store: &Store| {
        let mut rows = store.inspect().await.unwrap();
        rows.load_balancers.sort_by_key(|row| row.id);
        rows
    };
    assert_eq!(rows(copy).await, rows(original).await, "{on}");
    let all = ListQuery::default();
    assert_eq!(copy.flavor_list(&all).await.unwrap(), original.flavor_list(&all).await.unwrap(), "{on}");
}

/// Copies; how many rows each table has.
async fn copied(from: &Store, to: &Store) -> BTreeMap<&'static str, u64> {
    let mut compared = BTreeMap::new();
    from.copy_to(to, |event| {
        if let CopyEvent::Compared { table, rows } = event {
            compared.insert(table, rows);
        }
    })
    .await
    .unwrap();
    compared
}

async fn connect(database: &TestDatabase) -> Store {
    Store::connect(&database.url, StoreOptions::default()).await.unwrap()
}

#[tokio::test]
async fn from_each_database_to_each() {
    let sources = databases::all().await;
    for source in &sources {
        let from = source.store(StoreOptions::default()).await;
        let filled = fill(&from).await;
        for target in &databases::all().await {
            let on = format!("{} to {}", source.name, target.name);
            let to = connect(target).await;
            let compared = copied(&from, &to).await;
            assert_eq!(compared.len(), 20, "{on}: {compared:?}");
            assert!(compared.values().all(|rows| *rows > 0), "{on}: {compared:?}");
            assert_same(&from, &to, &filled, &on).await;

            // Life goes on there: numbers that the database gives are new ones.
            let before = to.outbox_take(100).await.unwrap().len();
            let lb = filled.graphs[1].load_balancer.id;
            change(&to, lb, |graph| graph.load_balancer.description = "moved".to_owned()).await;
            assert_eq!(to.outbox_take(100).await.unwrap().len(), before + 1, "{on}");
        }
    }
}

#[tokio::test]
async fn only_into_an_empty_store() {
    for target in &databases::all().await {
        let from = databases::all().await.remove(0).store(StoreOptions::default()).await;
        let filled = fill(&from).await;
        let to = target.store(StoreOptions::default()).await;
        let other = sample::create(&to, &sample::small()).await;
        let error = from.copy_to(&to, |_| ()).await.unwrap_err();
        assert!(matches!(error, CopyError::NotEmpty { .. }), "{}: {error}", target.name);
        assert!(to.lb_fetch(filled.graphs[0].load_balancer.id).await.unwrap().is_none(), "{}", target.name);
        assert!(to.lb_fetch(other.load_balancer.id).await.unwrap().is_some(), "{}", target.name);
    }
}

#[tokio::test]
async fn only_between_stores_of_this_version() {
    for source in databases::all().await.iter().skip(1) {
        let to = databases::all().await.remove(0);
        let refused = async |wanted: &str| {
            let from = connect(source).await;
            let error = from.copy_to(&connect(&to).await, |_| ()).await.unwrap_err().to_string();
            assert!(error.contains(wanted), "{}: {error}", source.name);
        };
        refused("it has none").await;
        let from = source.store(StoreOptions::default()).await;
        from.migrate_down(Some(1)).await.unwrap();
        refused("it lacks ").await;
        from.migrate().await.unwrap();
        let db = Database::connect(&source.url).await.unwrap();
        let newer = "INSERT INTO schema_migration (version, applied_at) VALUES ('9999_later', 0)";
        db.execute_unprepared(newer).await.unwrap();
        refused("it has 9999_later, of a newer version").await;
    }
}
