"""What the messenger refuses, in words that people understand, in their language.

Most refusals are sentences that stand for themselves; those that hold a number, a name or a role are said by code.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from bots.framework.i18n import Translator, _
from bots.hub.notices import shown
from bridge.errors import BridgeError, TooMany

BY_CODE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no_such_chat": _("I find no such chat of yours."),
        "role_too_low": _("Only who is {role} there, or more, may do this."),
        "alias_invalid": _("An address has 2 to 50 small letters, digits, dots, hyphens and underscores."),
        "name_missing": _("A name is one line of up to 200 characters."),
        "name_too_long": _("A name is one line of up to 200 characters."),
        "name_invalid": _("There is a character in it that cannot be shown."),
        "topic_too_long": _("That is too long."),
        "topic_invalid": _("There is a character in it that cannot be shown."),
        "reason_too_long": _("That is too long."),
        "reason_invalid": _("There is a character in it that cannot be shown."),
        "reason_missing": _("Say why, please."),
        "evidence_too_long": _("That is too long."),
        "evidence_invalid": _("There is a character in it that cannot be shown."),
        "query_too_long": _("That is too long."),
        "query_invalid": _("There is a character in it that cannot be shown."),
        "user_invalid": _("Whom? Write their id, such as @bob:example.org."),
        "no_such_person": _("Whom? Write their id, such as @bob:example.org."),
        "too_many_members": _("At most 100 people are invited at once; add more afterwards."),
        "too_many_pins": _("At most 100 messages are pinned."),
        "too_many_blocked": _("You block too many people."),
        "too_much_evidence": _("At most 10 messages are shared with a report."),
        "room_version": _("This room is of a version that I cannot look after."),
        "steward_power": _("I have too little power in this chat to do that."),
        "hub_power": _("Give me the power 100 (admin) first."),
        "timer_range": _("Messages disappear after 5 seconds to a year."),
        "retention_range": _("Messages are kept for 1 to 36500 days, or for ever."),
        "appeal_late": _("It is too late to appeal this decision."),
        "legal_hold": _("This chat is under a legal hold: nothing is removed from it."),
        "no_such_setting": _("There is no such setting."),
        "kind_not_public": _("A chat of this kind is never public."),
        "uses_invalid": _("A link is for 1 to 1000000 people, or for any number."),
        "too_many_links": _("The chat has as many invite links as it may; end some."),
        "entity_invalid": _("A rule is about a person, a room or a server, such as @eve:example.org."),
        "declined_recently": _("You were declined not long ago; ask again later."),
        "erasure_refused": _("Something has to end before your data can be erased."),
        "question_too_long": _("Look for fewer words."),
        "question_without_words": _("There is no word in it that could be looked for."),
        "question_ends_before_it_begins": _("The time ends before it begins."),
    }
)
"""Said whatever the service's own sentence is."""
MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "about_you": "This report is about you: somebody else decides.",
        "action_impossible": "That cannot be done about this report.",
        "alias_not_public": "Only a public chat has an alias; send an invite link instead.",
        "alias_taken": "This alias is taken.",
        "another_moderator": "Somebody else than who decided looks at an appeal.",
        "appealed": "This decision was appealed already.",
        "block_oneself": "You cannot block yourself.",
        "chat_full": "The chat is full.",
        "chat_gone": "This chat is no more.",
        "chat_is_held": "This chat is held: nothing of it may be deleted.",
        "decided": "This report is decided already.",
        "entity_own": "This rule would ban people of your own.",
        "group_taken": "Posts of another channel are discussed in this group.",
        "has_discussion": "This channel has a discussion group already.",
        "has_left": "They are not in this chat any more.",
        "homeserver_refused": "The homeserver refuses that.",
        "is_banned": "They are banned from this chat.",
        "kind_has_no_links": "Only groups and channels have invite links.",
        "last_owner": "The last owner stays one; hand the chat over.",
        "no_administration": "The operator has not let Rialto administer accounts.",
        "no_administration.devices": (
            "Devices cannot be shown here: the operator has not set a valid homeserver.admin_token."
        ),
        "list_closed": "This room cannot be joined.",
        "list_configured": "This list stands in the configuration.",
        "list_is_chat": "That is a chat, and no policy list.",
        "no_appeal": "No appeal against this decision waits.",
        "no_such_appeal": "There is no such appeal.",
        "link_expired": "This invite link has expired.",
        "link_revoked": "This invite link was ended.",
        "link_used_up": "As many people as this invite link is for have come by it.",
        "no_archive": "There is no such archive (any more). Ask for a new one.",
        "no_chat_of_anybody": "There is no such chat.",
        "no_channel": "Only channels have a discussion group.",
        "no_channel.see": "That is no channel.",
        "no_group": "Posts are discussed in a group.",
        "no_such_link": "There is no such invite link.",
        "no_such_hold": "This chat is not held.",
        "no_such_list": "This list is not followed.",
        "no_such_post": "There is no such post.",
        "not_a_person.rights": "That is Rialto itself, and nobody.",
        "no_such_joining": "They do not ask to join.",
        "not_a_person": "Only people come by an invite link.",
        "not_invitable": "The homeserver cannot invite them.",
        "no_chat_room": "That is a space, and no chat.",
        "no_such_account": "There is no such account.",
        "no_such_decision": "There is no such decision about you.",
        "no_such_decision.page": "There is no such decision.",
        "no_such_device": "There is no such device.",
        "no_such_member": "They are not in this chat.",
        "no_such_message": "There is no such message.",
        "no_such_report": "There is no such report.",
        "no_such_request": "There is no such request.",
        "no_such_rule": "There is no such rule.",
        "not_a_moderator": "Only moderators do this.",
        "not_a_moderator.suspend": "Only moderators suspend accounts.",
        "not_addable": "They do not want to be added; send them an invite link.",
        "not_banned": "They are not banned.",
        "not_muted": "They are not muted.",
        "not_our_account": "Devices are kept by the homeserver of the account; it is another one.",
        "not_searchable": (
            "What is said here is end-to-end encrypted: the server cannot read it, only your own app can search it."
        ),
        "not_the_steward": "That is Rialto itself.",
        "not_writable": "They do not want to be written to first.",
        "not_yours": "This is somebody else's chat with the service.",
        "oneself": "That is you.",
        "owner_leaves": "It is yours: hand it over or delete it before you leave.",
        "receipts_for_all": "Read receipts are for everybody or for nobody.",
        "report_rialto": "That is Rialto itself. Tell the operator of this server.",
        "report_yourself": "That is yourself; a message of your own you can remove.",
        "reported": "It was reported already.",
        "room_invalid": "A room is named like !abc:example.org.",
        "room_invalid.list": "A list is named like #list:example.org or !abc:example.org.",
        "role_not_above": "Only somebody with a higher role may do this to them.",
        "role_not_above.give": "A role like your own, or above, is not yours to give.",
        "role_not_above.oneself": "Nobody promotes themselves.",
        "role_too_low.joining": "Only moderators and above answer requests to join.",
        "search_off": "Search is switched off.",
        "search_off.chat": "Search is off in this chat. Turn it on first.",
        "search_slow": "This took too long. Look for rarer words, or in one chat.",
        "time_invalid.link": "A link works from a minute to a year, or until it is ended.",
        "time_invalid.mute": "A mute lasts from a second to a year.",
        "time_invalid.slow": "Slow mode is from 1 second to a day, or 0.",
        "too_many_exports": "That is enough for today. Ask again tomorrow.",
        "too_many_pending": "Too many people who were invited by this link have not come yet.",
        "too_many_requests": "Too many people wait to be let in.",
        "too_many_invites": "You have invited many people. Go on in an hour.",
        "too_many_reports": "You have reported much today. Go on tomorrow.",
        "two_people": "A direct chat is of two people.",
        "was_upgraded": "This room was replaced by another.",
        "writers_moderate": "In this chat only moderators and above write.",
    }
)
"""Sentences of the services, for the catalogues: whatever else is refused is said in English, as it comes. Behind a
code and a dot stands another sentence of the same code."""
_SENTENCES: Final = frozenset(MESSAGES.values())


def why(refused: BridgeError, translator: Translator) -> str:
    """What to say about a refusal."""
    said = by_code(refused.code, refused.fields, translator)
    if not said:
        said = translator.t(refused.human) if refused.human in _SENTENCES else refused.human
    if refused.code == "erasure_refused":
        said += "\n" + refused.human
    if isinstance(refused, TooMany) and refused.retry_after > 0:
        said += " " + translator.n(
            "Try again in {count} second.", "Try again in {count} seconds.", max(1, round(refused.retry_after))
        )
    return said


def by_code(code: str, fields: Mapping[str, Any], translator: Translator) -> str:
    """The sentence of a code; "" when it has none, or needs what the fields do not have."""
    text = BY_CODE.get(code, "")
    needed = {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name}
    return translator.t(text, **shown(fields, translator)) if text and needed <= fields.keys() else ""


def sentence(code: str, translator: Translator) -> str:
    """What a code that was told without its sentence means; "" for one that has none."""
    return by_code(code, {}, translator) or (translator.t(MESSAGES[code]) if code in MESSAGES else "")
