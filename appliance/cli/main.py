"""The `pierhead` command: every program and every question to one, by name."""

import click

from appliance.cli.lazy import LazyCommand, LazyGroup
from appliance.cli.log import LEVELS, LogFormat, configure_logging

ENTRIES = {
    "agent": LazyCommand(
        "appliance.agent.command:agent", "Run this host's agent: ARP, NDP and BGP for its VIPs.", True
    ),
    "forwarder": LazyCommand(
        "appliance.forwarder.command:forwarder", "Run this host's forwarder of connections.", True
    ),
    "allocator": LazyCommand(
        "appliance.allocator.command:allocator", "Run the allocator: addresses for Services.", True
    ),
    "status": LazyCommand("appliance.cli.status:status", "Show what this host's agent does."),
    "top": LazyCommand("appliance.cli.top:top", "Watch the site on a dashboard in the terminal."),
    "vips": LazyCommand("appliance.cli.site:vips", "Show every VIP of the site and who answers for it."),
    "hosts": LazyCommand("appliance.cli.site:hosts", "Show every host of the site and how it is."),
    "peers": LazyCommand("appliance.cli.site:peers", "Show the BGP sessions of every host."),
    "pools": LazyCommand("appliance.cli.site:pools", "Show every pool and how full it is."),
    "events": LazyCommand("appliance.cli.events:events", "Show what happened on this host lately."),
    "history": LazyCommand("appliance.cli.history:history", "Show what happened on hosts, over restarts, and why."),
    "explain": LazyCommand("appliance.cli.explain:explain", "Say why a Service or a VIP is as it is."),
    "drain": LazyCommand("appliance.cli.action:drain", "Move everything away from a host."),
    "undrain": LazyCommand("appliance.cli.action:undrain", "Let a host take VIPs and announce routes again."),
    "move": LazyCommand("appliance.cli.action:move", "Hand one VIP over to another host."),
    "replan": LazyCommand("appliance.cli.action:replan", "Hand VIPs over until hosts carry them evenly."),
    "acknowledge": LazyCommand("appliance.cli.action:acknowledge", "Take note of a machine that answers for a VIP."),
    "check": LazyCommand("appliance.cli.check:check", "Find the mistakes in manifests."),
    "convert": LazyCommand("appliance.cli.convert:convert", "Turn foreign configuration into manifests."),
    "crds": LazyCommand("appliance.cli.crds:crds", "Print the CustomResourceDefinitions of all kinds."),
    "migrate": LazyCommand("appliance.cli.migrate:migrate", "Look at a cluster that another load balancer serves."),
    "host-credentials": LazyCommand(
        "appliance.cli.host_credentials:host_credentials", "Make, or take back, what a host shows the Kubernetes API."
    ),
    "completion": LazyCommand("appliance.cli.completion:completion", "Print what makes a shell complete names."),
    "man": LazyCommand("appliance.cli.manual:man", "Print or install the manual pages."),
    "lab": LazyCommand("appliance.lab.command:lab", "Try Pierhead on a small site in network namespaces."),
}


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 it is so, 1 the answer is no or there are problems, 2 wrong usage or nobody to ask.",
)
@click.version_option(package_name="pierhead", message="%(prog)s %(version)s")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
    envvar="PIERHEAD_LOG_LEVEL",
    show_envvar=True,
    help="The least serious events that programs log.",
)
@click.option(
    "--log-format",
    type=click.Choice([form.value for form in LogFormat]),
    default=LogFormat.LOGFMT.value,
    show_default=True,
    envvar="PIERHEAD_LOG_FORMAT",
    show_envvar=True,
    help="How programs write an event.",
)
@click.pass_context
def main(context: click.Context, log_level: str, log_format: str) -> None:
    """A load balancer for bare-metal Kubernetes that lives on the hosts.

    Programs run until they are stopped; the other commands ask them, or look at files.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return
    entry = ENTRIES.get(context.invoked_subcommand)
    if entry is not None and entry.is_program:
        configure_logging(log_level, LogFormat(log_format), context.invoked_subcommand)


if __name__ == "__main__":
    main(prog_name="pierhead")
