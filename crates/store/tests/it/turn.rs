//! Turns: however many ask at once, each sees what the others were given.

use octavia_model::{OperationId, ProjectId, Turn};
use octavia_store::{Store, TurnAsked, TurnClaim};

use crate::databases::on_all;
use crate::lease::leased;

/// At most two at once.
fn two(turns: &[Turn], _: jiff::Timestamp) -> bool {
    turns.iter().filter(|turn| turn.taken_at.is_some()).count() < 2
}

fn claim() -> TurnClaim {
    TurnClaim { project_id: ProjectId::new("project"), urgent: false, operation_id: OperationId::new_v4() }
}

#[tokio::test]
async fn many_at_once_are_no_more_than_may_be() {
    on_all(|store| async move {
        let mut leases = vec![];
        for _ in 0..6 {
            leases.push(leased(&store).await.1);
        }
        let asked = leases.iter().map(|lease| {
            let (store, lease) = (store.clone(), lease.clone());
            tokio::spawn(async move { store.turn_ask(&lease, &claim(), two).await.unwrap() })
        });
        let mut answers: Vec<TurnAsked> = vec![];
        for asked in asked.collect::<Vec<_>>() {
            answers.push(asked.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|asked| asked.just_taken).count(), 2);
        assert!(answers.iter().all(|asked| asked.is_new));
        let taken = async |store: &Store| {
            store.turn_list().await.unwrap().iter().filter(|turn| turn.taken_at.is_some()).count()
        };
        assert_eq!((store.turn_list().await.unwrap().len(), taken(&store).await), (6, 2));

        // Who has taken it keeps it, and who waits its place and its entry in the ledger.
        for (lease, before) in leases.iter().zip(&answers) {
            let again = store.turn_ask(lease, &claim(), two).await.unwrap();
            assert!(!again.is_new && !again.just_taken);
            assert_eq!(again.turn.taken_at, before.turn.taken_at);
            let kept = (again.turn.since, again.turn.operation_id);
            assert_eq!(kept, (before.turn.since, before.turn.operation_id));
        }
        // One leaves, one comes.
        let at = answers.iter().position(|asked| asked.turn.taken_at.is_some()).unwrap();
        let waiting = answers.iter().position(|asked| asked.turn.taken_at.is_none()).unwrap();
        assert_eq!(store.turn_leave(&leases[waiting], false).await.unwrap(), None);
        assert!(store.turn_leave(&leases[at], false).await.unwrap().unwrap().taken_at.is_some());
        assert_eq!(store.turn_leave(&leases[at], true).await.unwrap(), None);
        assert!(store.turn_ask(&leases[waiting], &claim(), two).await.unwrap().just_taken);
        assert_eq!((store.turn_list().await.unwrap().len(), taken(&store).await), (5, 2));
        // Whose load balancer is gone waits for nothing.
        let last = answers.iter().rposition(|asked| asked.turn.taken_at.is_none()).unwrap();
        store.lb_deleted(&leases[last]).await.unwrap();
        assert_eq!(store.turn_list().await.unwrap().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_boots_keeps_the_turn() {
    on_all(|store| async move {
        let (graph, lease) = leased(&store).await;
        store.turn_ask(&lease, &claim(), two).await.unwrap();
        let mut row = crate::sample::amphora(graph.load_balancer.id);
        row.status = octavia_model::AmphoraStatus::Booting;
        store.amphora_insert(&lease, &row).await.unwrap();
        assert_eq!(store.turn_leave(&lease, false).await.unwrap(), None);
        row.status = octavia_model::AmphoraStatus::Allocated;
        store.amphora_update(&lease, &row).await.unwrap();
        assert!(store.turn_leave(&lease, false).await.unwrap().is_some());
    })
    .await;
}
