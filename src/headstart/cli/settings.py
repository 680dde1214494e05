"""The settings of :mod:`headstart.config` as options of commands, in groups."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from headstart.config import Setting, all_settings

_MANY = 15  # options; a longer help shows the most used ones first
_COMMON, _OTHER = "Most used", "This command"


class SettingOption(click.Option):
    """An option made from a setting; its value stays text, which the setting parses."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        choices = "|".join(setting.choices) if setting.choices else None
        super().__init__(
            [f"--{setting.name.replace('_', '-')}"],
            help=setting.help + _default(setting),
            metavar=None if setting.is_flag else setting.form or choices or _kind(setting),
            is_flag=setting.is_flag,
            default=None,
        )


class SettingCommand(click.Command):
    """A command whose help shows its options in the groups of their settings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in groups."""
        groups: dict[str, list[tuple[str, str]]] = {}
        options = [
            parameter
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option) and parameter.get_help_record(ctx)
        ]
        for parameter in options:
            record = parameter.get_help_record(ctx)
            if record:
                groups.setdefault(_group(parameter, many=len(options) > _MANY), []).append(record)
        command_options = groups.pop(_OTHER, [])
        common = groups.pop(_COMMON, [])
        for title, records in ((_COMMON, common), *groups.items(), (_OTHER if groups else "Options", command_options)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def setting_options(names: Iterable[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of some settings, and ``--config``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option(
            "--config", metavar="FILE", help="Read settings from a TOML file, or from the run.json of a run."
        )(command)
        for name in reversed([*names]):
            option = SettingOption(all_settings()[name])
            command = _add_option(command, option)
        return command

    return decorate


def _add_option(command: Callable[..., Any], option: click.Option) -> Callable[..., Any]:
    if isinstance(command, click.Command):
        command.params.append(option)
    else:  # as click's own decorators do
        command.__dict__.setdefault("__click_params__", []).append(option)
    return command


def _group(parameter: click.Parameter, *, many: bool) -> str:
    setting = getattr(parameter, "setting", None)
    if setting is None:
        return _OTHER
    return _COMMON if many and setting.common else setting.stage


def _default(setting: Setting) -> str:
    if setting.default in (None, (), False) or "Default" in setting.help:
        return ""
    return f"  [default: {setting.text(setting.default)}]"


def _kind(setting: Setting) -> str:
    return {int: "N", float: "NUMBER"}.get(setting.plain_type, "TEXT")
