//! The simulated cloud keeps the promises every cloud makes: otherwise simulation proves nothing.

use octavia_cloud::suite::{cert_suite, compute_suite, network_suite};
use octavia_sim::{Gates, Journal, World, network_id, start, subnet_id};

fn world() -> World {
    let gates = Gates::open(start());
    World::new(gates.clone(), Journal::new(gates))
}

#[tokio::test]
async fn servers() {
    compute_suite(&world()).await;
}

#[tokio::test]
async fn addresses() {
    network_suite(&world(), network_id(), subnet_id()).await;
}

#[tokio::test]
async fn certificates() {
    cert_suite(&world()).await;
}
