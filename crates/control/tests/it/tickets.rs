//! What the keys of session tickets follow from: every amphora of a load balancer is given the same, and nobody else.

use octavia_control::Reconciled;
use octavia_model::{LoadBalancerId, ProvisioningStatus as P};
use octavia_store::Which;
use octavia_wire::{AmphoraSpec, TicketRoot, TicketSpec};

use crate::rig::Rig;

async fn rig() -> Rig {
    let mut rig = Rig::new().await;
    rig.options.tickets = Some(TicketRoot::new(b"of all load balancers"));
    rig
}

fn pushed(rig: &Rig, lb: LoadBalancerId) -> AmphoraSpec {
    let facts = rig.cloud.facts();
    let mut specs = facts.servers.values().filter_map(|server| server.spec.clone());
    specs.find(|spec| spec.load_balancer_id == lb).unwrap()
}

async fn secure(rig: &Rig) -> LoadBalancerId {
    let (reference, _) = rig.secrets.bundle("a.example");
    let lb = rig.lb_create_secure(&[&reference]).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    lb
}

#[tokio::test]
async fn amphorae_of_a_load_balancer_have_the_same_and_those_of_others_another() {
    let rig = rig().await;
    let (lb, other) = (secure(&rig).await, secure(&rig).await);
    let first = pushed(&rig, lb);
    let tickets = first.tickets.clone().unwrap();
    assert!(!pushed(&rig, other).tickets.unwrap().is_of_one_origin(&tickets));
    // Tickets of the period before can be opened, and no others.
    let now = u64::try_from(rig.parts.clock.now().as_second()).unwrap();
    assert!((0..=1).contains(&(TicketSpec::first_at(now) - tickets.period())), "{tickets:?}");

    // Another amphora, much later: the same, and nothing that leads back.
    rig.clock.forward(100 * 3_600);
    rig.store.lb_failover(lb, &[P::Active], Which::All).await.unwrap();
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let second = pushed(&rig, lb);
    assert_ne!(second.amphora_id, first.amphora_id);
    let later = second.tickets.unwrap();
    assert!(later.is_of_one_origin(&tickets));
    assert!(later.period() >= tickets.period() + 16, "{tickets:?} {later:?}");

    // It is in no row.
    let rows = rig.store.dump().await.unwrap();
    for tickets in [&tickets, &later] {
        let written = serde_json::to_value(tickets).unwrap();
        for name in ["secret", "season"] {
            assert!(!rows.contains(written[name].as_str().unwrap()));
        }
    }
}

#[tokio::test]
async fn who_terminates_no_tls_or_has_no_key_gives_none() {
    let rig = rig().await;
    let lb = rig.active().await;
    assert_eq!(pushed(&rig, lb).tickets, None);
    let rig = Rig::new().await;
    let lb = secure(&rig).await;
    assert_eq!(pushed(&rig, lb).tickets, None);
}
