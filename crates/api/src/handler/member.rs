//! Members, below their pool.

use http::StatusCode;
use octavia_model::{Demand, LoadBalancerGraph, Member, MemberId, PoolId, QuotaKind};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::member::{ARGUMENT, BATCH_ARGUMENT, MemberBody, ROOT};
use crate::rules::member as rules;
use crate::rules::pool_precheck;
use crate::view::Row;
use crate::view::member::MemberView;
use crate::{policy, vip};

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    let (graph, pool) = call.parent_pool().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let arguments = call.list_arguments()?;
    let fields = call.fields();
    let rows = call.state.store.member_list(pool, &call.nested_query(&arguments)).await?;
    let rows = rows.items.into_iter().map(|member| (member.id, Row::new(MemberView::flat(&member), &fields)));
    let page = Page { key: "members", links_key: "members_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    let (graph, pool) = call.parent_pool().await?;
    call.query.only(&[])?;
    let body = MemberBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    call.authorize(&graph.load_balancer.project_id)?;
    let options = &call.state.options;
    rules::create_precheck(&body, options)?;
    check_subnet(call, &body).await?;
    let id: MemberId = call.new_id();
    let demand = |_: &LoadBalancerGraph| Demand::one(QuotaKind::Member);
    let create = |graph: &mut LoadBalancerGraph| rules::create(graph, pool, &body, id, options);
    let graph = call.create_below_pool(&graph, pool, &demand, create).await?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn batch(call: &Call) -> Result<Answer, Fault> {
    let (graph, pool) = call.parent_pool().await?;
    call.query.only(&["additive_only"])?;
    let bodies = MemberBody::decode_batch(&call.document(BATCH_ARGUMENT)?)?;
    let additive_only = call.query.flag("additive_only");
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    policy::enforce("member:post", &call.caller, Some(&root.project_id))?;
    if !additive_only {
        policy::enforce("member:delete", &call.caller, Some(&root.project_id))?;
    }
    let ids: Vec<MemberId> = bodies.iter().map(|_| MemberId::new_v4()).collect();
    let batch = rules::Batch { bodies: &bodies, ids: &ids, additive_only };
    let options = &call.state.options;
    batch.precheck(&graph, pool, options)?;
    for body in batch.new_bodies(&graph, pool) {
        check_subnet(call, body).await?;
    }
    if batch.is_idle(&graph, pool) {
        pool_precheck(&graph, pool, options)?;
    } else {
        let demand = |graph: &LoadBalancerGraph| batch.demand(graph, pool);
        let apply = |graph: &mut LoadBalancerGraph| batch.apply(graph, pool, options);
        call.create_below_pool(&graph, pool, &demand, apply).await?;
    }
    Ok(Answer::Empty(StatusCode::ACCEPTED))
}

pub(super) async fn replay(call: &Call, id: MemberId) -> Result<Answer, Fault> {
    let (graph, _) = call.parent_pool().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let (graph, pool) = call.parent_pool().await?;
    let member = member_of_path(call, &graph, pool)?;
    call.authorize(&graph.load_balancer.project_id)?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &MemberView::one(member), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    let (graph, pool) = call.parent_pool().await?;
    call.query.only(&[])?;
    let body = MemberBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let id = member_of_path(call, &graph, pool)?.id;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    let options = &call.state.options;
    pool_precheck(&graph, pool, options)?;
    let graph = call.change_below(root.id, |graph| rules::update(graph, pool, id, &body, options)).await?;
    shown(StatusCode::OK, &graph, id)
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    let (graph, pool) = call.parent_pool().await?;
    call.query.only(&[])?;
    let id = member_of_path(call, &graph, pool)?.id;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    let options = &call.state.options;
    pool_precheck(&graph, pool, options)?;
    call.change_below(root.id, |graph| rules::delete(graph, pool, id, options)).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

/// The member the path names, if it is one of the pool's.
fn member_of_path<'g>(call: &Call, graph: &'g LoadBalancerGraph, pool: PoolId) -> Result<&'g Member, Fault> {
    let id = call.id(1, "Member")?;
    graph.member(id).filter(|member| member.pool_id == pool).ok_or_else(|| Fault::not_found("Member", id))
}

async fn check_subnet(call: &Call, body: &MemberBody) -> Result<(), Fault> {
    match body.subnet_id.value() {
        Some(subnet) => vip::subnet_get(call.state.network.as_ref(), subnet).await.map(drop),
        None => Ok(()),
    }
}

fn shown(status: StatusCode, graph: &LoadBalancerGraph, id: MemberId) -> Result<Answer, Fault> {
    let member = graph.member(id).ok_or_else(|| Fault::not_found("Member", id))?;
    Ok(Answer::one(status, ROOT, &MemberView::flat(member)))
}
