"""Calls of methods for which there is no generated code: descriptors at run time, JSON in and out."""

from dataclasses import dataclass

from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from core.identifiers import MethodName
from core.language import Text
from core.reasons import ExchangeError, Reason
from rpc.descriptors import load_descriptors


@dataclass(frozen=True, slots=True)
class DynamicMethod:
    """One method with the types of its messages, made from descriptors at run time."""

    name: MethodName
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool

    def parse_request(self, text: str) -> Message:
        """A request from its JSON form.

        Raises:
            ExchangeError: The text is not JSON, or has fields that the message has not.
        """
        kind = self.request.DESCRIPTOR.name
        # The parser takes an empty list for an empty message.
        if not text.lstrip().startswith("{"):
            raise _no_message(kind, "a JSON object is expected")
        try:
            return json_format.Parse(text, self.request())
        except json_format.ParseError as error:
            raise _no_message(kind, str(error)) from error

    def show_response(self, response: Message) -> str:
        """A response as JSON on one line, with the names of the JSON form."""
        return json_format.MessageToJson(response, indent=None, ensure_ascii=False)


def find_method(name: MethodName, file_descriptor_set: bytes) -> DynamicMethod:
    """The method of this name.

    Raises:
        ExchangeError: The descriptors are damaged or have no such method.
    """
    pool = load_descriptors(file_descriptor_set)
    try:
        method: MethodDescriptor = pool.FindMethodByName(str(name).replace("/", "."))
    except KeyError as error:
        raise ExchangeError(Reason.NOT_FOUND, f"the service has no method {name.method}") from error
    return DynamicMethod(
        name,
        GetMessageClass(method.input_type),
        GetMessageClass(method.output_type),
        method.client_streaming,
        method.server_streaming,
    )


def _no_message(kind: str, why: str) -> ExchangeError:
    remedy = Text(
        "corriger --data : un objet JSON dont les champs sont ceux du message, chacun de son type",
        "correct --data: a JSON object whose fields are those of the message, each of its type",
    )
    return ExchangeError(Reason.DOCUMENT_INVALID, f"the data is no {kind}: {why}", remedy=remedy)
