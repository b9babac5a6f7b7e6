//! Quotas (`reference/api.md` §7). Any text is a project: what it is called is the identity service's business.

use http::StatusCode;
use octavia_model::ProjectId;

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::PROJECT_MAX;
use crate::request::quota::{QuotaBody, ROOT};
use crate::view;
use crate::view::quota::QuotaView;

/// Where the official clients look for the configured limits, in the place of a project.
const DEFAULTS: &str = "defaults";

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    let arguments = call.query.lenient_list_arguments(&call.state.options)?;
    let project = call.list_project(&arguments)?;
    let rows = call.state.store.quota_list(&call.list_query(&arguments, project)).await?;
    let rows = rows.items.into_iter().map(|row| {
        let view = QuotaView::flat(&row.project_id, &row.limits);
        (row.project_id.to_string(), view::render(&view, &[]))
    });
    let page = Page { key: "quotas", links_key: "quotas_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let project = project(call);
    if project.as_str() == DEFAULTS {
        // The same for every project, so one's own decides who may see them.
        call.authorize_own()?;
        return Ok(shown(StatusCode::OK, &QuotaView::new(&project, &call.state.options.default_quota)));
    }
    call.authorize(&project)?;
    let own = call.state.store.quota_fetch(&project).await?.unwrap_or_default();
    Ok(shown(StatusCode::OK, &QuotaView::new(&project, &own.or(&call.state.options.default_quota))))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = QuotaBody::decode(&call.body.bytes)?;
    let project = project(call);
    call.authorize(&project)?;
    check_storable(&project)?;
    note_before(call, &project).await?;
    let own = call.state.store.quota_set(&project, |limits| body.apply(limits)).await?;
    Ok(shown(StatusCode::ACCEPTED, &QuotaView::new(&project, &own.or(&call.state.options.default_quota))))
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let project = project(call);
    call.authorize(&project)?;
    note_before(call, &project).await?;
    if call.state.store.quota_reset(&project).await? {
        call.trail.after(&QuotaView::new(&project, &call.state.options.default_quota));
        Ok(Answer::Empty(StatusCode::ACCEPTED))
    } else {
        Err(Fault::not_found("Quotas", project))
    }
}

pub(super) fn defaults(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let project = project(call);
    call.authorize(&project)?;
    Ok(shown(StatusCode::OK, &QuotaView::new(&project, &call.state.options.default_quota)))
}

/// For the record, if there will be one.
async fn note_before(call: &Call, project: &ProjectId) -> Result<(), Fault> {
    if call.trail.is_on() {
        let own = call.state.store.quota_fetch(project).await?.unwrap_or_default();
        call.trail.before(&QuotaView::new(project, &own.or(&call.state.options.default_quota)));
    }
    Ok(())
}

fn project(call: &Call) -> ProjectId {
    ProjectId::new(call.parameter(0))
}

/// A project's id has the bounds it has in bodies.
fn check_storable(project: &ProjectId) -> Result<(), Fault> {
    let text = project.as_str();
    let reason = if text.chars().count() > PROJECT_MAX {
        format!("Value should have a maximum character requirement of {PROJECT_MAX}")
    } else if text.contains('\0') {
        "Value should not contain NUL".to_owned()
    } else {
        return Ok(());
    };
    Err(Fault::Input { attribute: "project_id".to_owned(), value: text.to_owned(), reason })
}

fn shown(status: StatusCode, view: &QuotaView) -> Answer {
    Answer::one(status, ROOT, view)
}
