//! `sim`: the simulated cluster on real sockets.

use ananke_sim::serve::control::{self, Reply, Request};
use ananke_sim::serve::up::{UpOptions, up};
use ananke_sim::{Fault, Scenario};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::print;
use crate::args::{Format, Output, Power, Sim};
use crate::exit::Exit;
use crate::wire::Failure;

pub(super) async fn run(args: Sim) -> Result<Exit, Failure> {
    match args {
        Sim::Up { dir, scenario, nodes, pods, seed, speed } => serve(UpOptions { dir, scenario, nodes, pods, seed, speed }).await,
        Sim::Power { what, dir, output } => {
            let request = match what {
                Power::Cut => Request::PowerCut,
                Power::Restore => Request::PowerRestore,
            };
            ask(&dir, &request, output).await
        }
        Sim::Inject { fault, dir, node, seconds, output } => ask(&dir, &Request::Inject { fault, node, seconds }, output).await,
        Sim::Truth { dir, output } => ask(&dir, &Request::Status, output).await,
        Sim::Faults { output } => list(output.output),
    }
}

async fn serve(options: UpOptions) -> Result<Exit, Failure> {
    let dir = options.dir.clone();
    let failed = |error: std::io::Error| Failure::Internal(format!("listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let served = up(options).await.map_err(|error| Failure::Usage(error.to_string()))?;
    let dir = dir.display();
    print(Format::Text, &(), |()| {
        format!(
            "the simulated cluster answers; in another terminal:\n  ananke status --config {dir}/ananke.yaml\n  \
             ananke startup --config {dir}/ananke.yaml --execute\n  kubectl --kubeconfig {dir}/kubeconfig get nodes,pods -A\n\
             Ctrl-C ends it\n"
        )
    })?;
    let stopped = async {
        futures::future::select(std::pin::pin!(interrupt.recv()), std::pin::pin!(terminate.recv())).await;
    };
    served.run_until(stopped).await;
    Ok(Exit::Done)
}

async fn ask(dir: &std::path::Path, request: &Request, output: Output) -> Result<Exit, Failure> {
    let reply = control::send(dir, request).await.map_err(|error| Failure::Usage(error.to_string()))?;
    if !reply.ok {
        return Err(Failure::Usage(reply.message));
    }
    print(output.output, &reply, |reply: &Reply| match &reply.status {
        None => reply.message.clone(),
        Some(status) => format!(
            "{}\nafter {} s: mains {}, {} of {} hosts up, API {}, {} of {} workloads converged",
            reply.message,
            status.seconds,
            if status.mains { "on" } else { "off" },
            status.hosts_up,
            status.hosts,
            if status.api { "up" } else { "down" },
            status.workloads_converged,
            status.workloads
        ),
    })?;
    Ok(Exit::Done)
}

#[derive(Debug, Serialize)]
struct Known {
    faults: Vec<Row>,
    scenarios: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: &'static str,
    what: &'static str,
    needs_node: bool,
}

fn list(format: Format) -> Result<Exit, Failure> {
    let faults = Fault::ALL.iter().map(|fault| Row { id: fault.id(), what: fault.doc(), needs_node: fault.needs_node() });
    let scenarios = Scenario::all().map(|(id, what)| Row { id, what, needs_node: false });
    let known = Known { faults: faults.collect(), scenarios: scenarios.collect() };
    print(format, &known, |known| {
        let line = |row: &Row| format!("  {:<20} {}{}\n", row.id, row.what, if row.needs_node { " (of one --node)" } else { "" });
        let lines = |rows: &[Row]| rows.iter().map(line).collect::<String>();
        format!("faults:\n{}scenarios:\n{}", lines(&known.faults), lines(&known.scenarios))
    })?;
    Ok(Exit::Done)
}
