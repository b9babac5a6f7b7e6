//! Load balancers.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::StatusCode;
use jiff::Timestamp;
use octavia_cloud::VipRequest;
use octavia_model::{
    AdditionalVip, Demand, LoadBalancer, LoadBalancerGraph, LoadBalancerId, ProjectId, ProvisioningStatus,
    QuotaKind, Vip,
};
use octavia_plan::queued;
use octavia_store::{Operation, OperationPage, TURN_WAIT, Which};

use crate::body::Sent;
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::offer;
use crate::options::DataPlane;
use crate::page::Page;
use crate::policy;
use crate::request::Call as Kind;
use crate::request::load_balancer::{ARGUMENT, LoadBalancerBody, ROOT};
use crate::rules::load_balancer::{self as rules, Origin};
use crate::secrets::Wanted;
use crate::view::Row;
use crate::view::load_balancer::LoadBalancerView;
use crate::view::operation::OperationView;
use crate::view::stats::StatsView;
use crate::view::status_tree::StatusTree;
use crate::vip::{self, VipPlace};

/// The most entries of the ledger on one page.
const OPERATIONS_MAX: usize = 1000;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    let arguments = call.list_arguments()?;
    let project = call.list_project(&arguments)?;
    let fields = call.fields();
    let rows = call.state.store.lb_list(&call.list_query(&arguments, project)).await?;
    let rows = rows.items.iter().map(|row| {
        let (listeners, pools) = (row.listeners.iter().copied(), row.pools.iter().copied());
        let view = LoadBalancerView::flat(&row.load_balancer, listeners, pools);
        (row.load_balancer.id, Row::new(view, &fields))
    });
    let page = Page { key: "loadbalancers", links_key: "loadbalancers_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = LoadBalancerBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    // Empty is as good as not said.
    let named = body.project_id.get().filter(|id| !id.is_empty()).map(ProjectId::new);
    let project = named.or_else(|| call.caller.project_id.clone());
    let project =
        project.ok_or_else(|| Fault::validation("Missing project ID in request where one is required."))?;
    if body.vip.sg_ids.is_sent() {
        policy::enforce("loadbalancer:post:vip_sg_ids", &call.caller, Some(&project))?;
    }
    call.authorize(&project)?;
    let (graph, place) = plan_tree(call, body, project).await?;
    if call.rehearsal.is_on() {
        return rehearse(call, graph, &place).await;
    }
    let id = graph.load_balancer.id;
    match insert(call, graph, &place).await {
        Ok(graph) => Ok(created(&graph)),
        Err(fault) => {
            give_back(call, id).await;
            Err(fault)
        }
    }
}

/// Everything that can be said about the request before an address is taken for it.
async fn plan_tree(
    call: &Call,
    mut body: LoadBalancerBody,
    project: ProjectId,
) -> Result<(LoadBalancerGraph, VipPlace), Fault> {
    let network = call.state.network.as_ref();
    let place = vip::resolve(network, &body.vip, &project, &call.state.options.vip).await?;
    let sg_ids = body.vip.sg_ids.get().cloned().unwrap_or_default();
    vip::check_security_groups(network, &sg_ids).await?;
    if let Some(policy) = body.vip.qos_policy_id.value() {
        vip::check_qos_policy(network, policy).await?;
    }
    let additional_vips = vip::additional(network, &body.vip, &place).await?;
    let choice = offer::choose(call, &body).await?;
    call.check_quota(&project, &Demand::one(QuotaKind::LoadBalancer)).await?;
    let topology = choice.topology(place.network_id, &call.state.options)?;
    let unsupported = |message: &str| {
        Err(Fault::UnsupportedOption { provider: choice.provider.clone(), message: message.to_owned() })
    };
    if call.state.options.data_plane == DataPlane::Built {
        if !sg_ids.is_empty() {
            return unsupported("Security groups of the VIP port are not available yet.");
        }
        let interfaces = call.state.options.interfaces;
        if body.vip.qos_policy_id.value().is_some() && !interfaces {
            return unsupported("QoS policies of the VIP port are not available yet.");
        }
        if !body.vip.additional.is_empty() && !interfaces {
            return unsupported("Additional VIPs are not available yet.");
        }
    }
    let mut subnets: Vec<_> = body.pools.iter().flat_map(|pool| &pool.members).collect();
    let defaults = body.listeners.iter().filter_map(|listener| listener.default_pool.get());
    let policies = body.listeners.iter().flat_map(|listener| &listener.l7policies);
    let redirects = policies.filter_map(|policy| policy.redirect_pool.get());
    subnets.extend(defaults.chain(redirects).flat_map(|pool| &pool.members));
    for subnet in subnets.into_iter().filter_map(|member| member.subnet_id.value()) {
        vip::subnet_get(network, subnet).await?;
    }
    fetch_secrets(call, &mut body).await?;
    let origin = Origin {
        id: call.new_id(),
        project_id: project,
        provider: choice.provider,
        flavor_id: choice.flavor_id,
        availability_zone: choice.availability_zone,
        topology,
        vip: Vip { sg_ids, ..place.provisional() },
        additional_vips,
    };
    let graph = rules::create(body, origin, &mut uuid::Uuid::new_v4, &call.state.options)?;
    let demand = Demand::of_tree(&graph);
    if demand != Demand::one(QuotaKind::LoadBalancer) {
        call.check_quota(&graph.load_balancer.project_id, &demand).await?;
    }
    Ok((graph, place))
}

/// What the references in all of the tree point at.
async fn fetch_secrets(call: &Call, body: &mut LoadBalancerBody) -> Result<(), Fault> {
    let mut wanted = Wanted::default();
    body.pools.iter().for_each(|pool| wanted.pool(pool, None));
    for listener in &body.listeners {
        wanted.listener(listener, None);
        listener.default_pool.get().into_iter().for_each(|pool| wanted.pool(pool, None));
        let redirects = listener.l7policies.iter().filter_map(|policy| policy.redirect_pool.get());
        redirects.for_each(|pool| wanted.pool(pool, None));
    }
    let found = wanted.fetch(call).await?;
    body.pools.iter_mut().for_each(|pool| pool.found = found.clone());
    for listener in &mut body.listeners {
        listener.found = found.clone();
        if let Sent::Value(pool) = &mut listener.default_pool {
            pool.found = found.clone();
        }
        for policy in &mut listener.l7policies {
            if let Sent::Value(pool) = &mut policy.redirect_pool {
                pool.found = found.clone();
            }
        }
    }
    Ok(())
}

/// Takes the address, then stores the tree.
async fn insert(
    call: &Call,
    mut graph: LoadBalancerGraph,
    place: &VipPlace,
) -> Result<LoadBalancerGraph, Fault> {
    let root = &mut graph.load_balancer;
    let port = call.state.network.vip_ensure(&vip_request(root, place)).await;
    let port = port.map_err(|error| Fault::from_vip(error, &root.provider))?;
    root.vip = Vip { sg_ids: std::mem::take(&mut root.vip.sg_ids), ..place.taken(&port) };
    for (additional, (subnet_id, address)) in root.additional_vips.iter_mut().zip(&port.additional) {
        *additional = AdditionalVip {
            subnet_id: *subnet_id,
            address: *address,
            network_id: port.network_id,
            port_id: port.port_id,
        };
    }
    let graph = call.state.store.lb_create_within(&graph, call.quota()).await?;
    call.written(None, &graph);
    Ok(graph)
}

/// As [`insert`], without an address: the network gives none without taking it, but says what it would refuse.
async fn rehearse(call: &Call, mut graph: LoadBalancerGraph, place: &VipPlace) -> Result<Answer, Fault> {
    let root = &mut graph.load_balancer;
    let possible = call.state.network.vip_check(&vip_request(root, place)).await;
    possible.map_err(|error| Fault::from_vip(error, &root.provider))?;
    match place.address {
        Some(_) => {}
        None if root.vip.address.is_ipv4() => root.vip.address = Ipv4Addr::UNSPECIFIED.into(),
        None => root.vip.address = Ipv6Addr::UNSPECIFIED.into(),
    }
    let graph = call.state.store.lb_create_within(&graph, call.quota()).await?;
    call.written(None, &graph);
    Ok(created(&graph))
}

fn vip_request(root: &LoadBalancer, place: &VipPlace) -> VipRequest {
    VipRequest {
        load_balancer_id: root.id,
        project_id: root.project_id.clone(),
        network_id: place.network_id,
        subnet_id: place.subnet.id,
        address: place.address,
        port_id: place.port_id,
        additional: place.additional.clone(),
    }
}

fn created(graph: &LoadBalancerGraph) -> Answer {
    Answer::one(StatusCode::CREATED, ROOT, &LoadBalancerView::graph(graph))
}

/// After a failed create the address goes back, unless the tree may have been stored after all.
async fn give_back(call: &Call, id: LoadBalancerId) {
    match call.state.store.lb_fetch(id).await {
        Ok(None) => {
            if let Err(error) = call.state.network.vip_release(id).await {
                tracing::warn!(load_balancer = %id, %error, "a VIP stays taken until orphans are looked for");
            }
        }
        Ok(Some(_)) => {}
        Err(error) => {
            tracing::warn!(load_balancer = %id, %error, "not known whether a load balancer was stored");
        }
    }
}

pub(super) async fn replay(call: &Call, id: LoadBalancerId) -> Result<Answer, Fault> {
    let graph = call.load_balancer(id).await?;
    call.authorize(&graph.load_balancer.project_id)?;
    Ok(created(&graph))
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let id = call.id(0, "Load Balancer")?;
    let item = call.state.store.lb_show(id).await?.ok_or_else(|| Fault::not_found("Load Balancer", id))?;
    call.authorize(&item.load_balancer.project_id)?;
    let view = LoadBalancerView::one(&item.load_balancer, item.listeners, item.pools);
    Ok(Answer::selected(StatusCode::OK, ROOT, &view, &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = LoadBalancerBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let graph = call.load_balancer_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    if body.vip.sg_ids.is_sent() {
        policy::enforce("loadbalancer:put:vip_sg_ids", &call.caller, Some(&root.project_id))?;
    }
    let network = call.state.network.as_ref();
    let sg_ids = body.vip.sg_ids.get().cloned().unwrap_or_default();
    vip::check_security_groups(network, &sg_ids).await?;
    let qos_policy = body.vip.qos_policy_id.value().filter(|policy| root.vip.qos_policy_id != Some(*policy));
    if let Some(policy) = qos_policy {
        vip::check_qos_policy(network, policy).await?;
    }
    let asked = !sg_ids.is_empty() || (qos_policy.is_some() && !call.state.options.interfaces);
    if asked && call.state.options.data_plane == DataPlane::Built {
        return Err(Fault::UnsupportedOption {
            provider: root.provider.clone(),
            message: "Security groups and QoS policies of the VIP port are not available yet.".to_owned(),
        });
    }
    let graph = call.change_root(root.id, |graph| rules::update(graph, &body)).await?;
    let root = &graph.load_balancer;
    let view = LoadBalancerView::flat(
        root,
        graph.listeners.iter().map(|listener| listener.id),
        graph.pools.iter().map(|pool| pool.id),
    );
    Ok(Answer::one(StatusCode::OK, ROOT, &view))
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&["cascade"])?;
    let cascade = call.query.flag("cascade");
    let graph = call.load_balancer_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    rules::delete_precheck(&graph, cascade)?;
    call.delete_root(graph.load_balancer.id, |graph| rules::delete(graph, cascade)).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

pub(super) async fn status(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let graph = call.load_balancer_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    Ok(Answer::one(StatusCode::OK, "statuses", &StatusTree::new(&graph)))
}

pub(super) async fn stats(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let graph = call.load_balancer_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let stats = call.state.store.lb_stats(graph.load_balancer.id).await?;
    Ok(Answer::one(StatusCode::OK, "stats", &StatsView::from(&stats)))
}

pub(super) async fn failover(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let graph = call.load_balancer_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let root = &graph.load_balancer;
    let refused = |state| Fault::InvalidState { state, id: root.id };
    call.failover(root.id, &[ProvisioningStatus::Active, ProvisioningStatus::Error], Which::All, refused)
        .await?;
    Ok(Answer::Empty(StatusCode::ACCEPTED))
}

/// An addition to the original: what workers did and are doing.
pub(super) async fn operations(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&["limit", "marker", "page_reverse", "fields"])?;
    let graph = call.load_balancer_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let arguments = call.list_arguments()?;
    let marker = match &arguments.marker {
        None => OperationPage::First,
        Some(text) => {
            let id = text.parse().map_err(|_| Fault::Marker(text.clone()))?;
            if arguments.page_reverse { OperationPage::Before(id) } else { OperationPage::After(id) }
        }
    };
    // Without a bound of the deployment's: no more than anybody reads.
    let limit = arguments.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(OPERATIONS_MAX);
    let rows = call.state.store.operation_list(graph.load_balancer.id, marker, limit).await?;
    let fields = call.fields();
    let waits = |row: &Operation| row.kind == TURN_WAIT && row.finished_at.is_none();
    let queue = match rows.iter().any(waits) {
        true => queued(&call.state.store.turn_list().await?, graph.load_balancer.id, Timestamp::now()),
        false => None,
    };
    let view = |row: &Operation| match &queue {
        Some(queue) if waits(row) => OperationView::from(row).queued(queue),
        _ => OperationView::from(row),
    };
    let rows = rows.iter().map(|row| (row.id, Row::new(view(row), &fields)));
    let page = Page { key: "operations", links_key: "operations_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}
