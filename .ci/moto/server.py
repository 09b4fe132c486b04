"""moto's server without what takes most of its time.

Called as moto_server is. With two tables for each of many stacks, moto spends
most of a test run on copies of whole tables, one before every transaction, in
case it fails; on the names of what is in its answers; and on the trees of
updates. Here only the items that a transaction names are put back, answers go as
they are, and trees are gone through faster. What it accepts stays the same.
"""

import copy
import functools
import gc
import logging

import moto.backends
import moto.core.responses
from moto.cloudformation.models import Stack
from moto.core.serialize import JSONSerializer
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node
from moto.dynamodb.parsing.validators import ActionCountValidator
from moto.server import main
from werkzeug.serving import WSGIRequestHandler

transact = DynamoDBBackend.transact_write_items


def transact_write_items(self, transact_items):
    """transact_write_items, which leaves everything as it was when it raises."""
    undo = []
    for entry in transact_items:
        for op in entry.values():
            table = self.tables.get(op.get("TableName"))
            if table is not None:
                undo.append(keeper(table, op.get("Key", op.get("Item", {}))))
    # moto makes a copy by itself, and puts that back when it fails.
    Table.__deepcopy__ = lambda table, memo: table
    try:
        return transact(self, transact_items)
    except BaseException:
        for put_back in undo:
            put_back()
        raise
    finally:
        del Table.__deepcopy__  # a backup needs it


def keeper(table, key):
    """A function that puts an item, and the table's stream, back to what they are now."""
    hash_value = DynamoType(key[table.hash_key_attr])
    range_value = DynamoType(key[table.range_key_attr]) if table.has_range_key else None
    held = table.items.get(hash_value)
    if range_value is not None:
        held = (held or {}).get(range_value)
    held = copy.deepcopy(held)
    streamed = len(table.stream_shard.items) if table.stream_shard else 0

    def put_back():
        table.delete_item(hash_value, range_value)
        if held is not None and range_value is not None:
            table.items[hash_value][range_value] = held
        elif held is not None:
            table.items[hash_value] = held
        if table.stream_shard:
            del table.stream_shard.items[streamed:]

    return put_back


DynamoDBBackend.transact_write_items = transact_write_items

structure = JSONSerializer._serialize_type_structure
plain = {"S", "N", "BOOL", "NULL", "SS", "NS"}


def serialize_structure(self, serialized, value, shape, key):
    """_serialize_type_structure, which takes an AttributeValue as it is.

    moto looks for each of its ten members by every name it might have.
    """
    ready = attribute(value) if shape.name == "AttributeValue" and key else None
    if ready is None:
        structure(self, serialized, value, shape, key)
    else:
        self._default_serialize(serialized, ready, shape, key)


def attribute(value):
    """An attribute value as it is sent; None for what is left to moto, as bytes are."""
    if isinstance(value, DynamoType):
        value = value.to_json()
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((kind, held),) = value.items()
    if kind == "M":
        held = {name: attribute(each) for name, each in held.items()}
        known = all(each is not None for each in held.values())
    elif kind == "L":
        held = [attribute(each) for each in held]
        known = all(each is not None for each in held)
    else:
        known = kind in plain
    return {kind: held} if known else None


JSONSerializer._serialize_type_structure = serialize_structure

is_a = functools.cache(issubclass)

# An update of n attributes is a tree some 5 n deep, gone through ten times.


def traverse(self, root):
    """DepthFirstTraverser.traverse, which looks at the class of a node once."""
    types = self.nodes_to_be_processed()

    def walk(node, at):
        parent = node.parent
        for i, child in enumerate(node.children or ()):
            self.pre_processing_of_child(node, i)
            if is_a(type(child), Node):
                walk(child, i)
        if is_a(type(node), types):
            node = self.process(node)
            node.parent = parent
            if parent:
                parent.children[at] = node
        return node

    return walk(root, -1)


def copy_node(self, memo):
    """copy.deepcopy of a node, whose parent is another's business."""
    own = self.__class__.__new__(self.__class__)
    own.__dict__.update(self.__dict__)
    if self.children is not None:
        own.children = [copy.deepcopy(child, memo) for child in self.children]
        for child in own.children:
            if isinstance(child, Node):
                child.parent = own
    return own


DepthFirstTraverser.traverse = traverse
Node.__deepcopy__ = copy_node
# The root has every clause that a node below it has: it is looked at alone.
ActionCountValidator.traverse = ActionCountValidator.verify_action_counts

# Which services there are, and what they can do, does not change: neither is
# looked up anew for every request.
services = tuple(moto.backends.list_of_moto_modules())
moto.backends.list_of_moto_modules = lambda: services
moto.core.responses.method_names_from_class = functools.cache(moto.core.responses.method_names_from_class)

WSGIRequestHandler.wbufsize = -1  # an answer is one packet

# Every story deploys the same template.
parse_template = functools.cache(Stack.parse_template)
Stack.parse_template = staticmethod(lambda template: copy.deepcopy(parse_template(template)))

# What lives here lives long: looking for garbage in it finds little.
gc.set_threshold(100_000, 50, 100)

# Only the line with the address is read, by the proxy.
WSGIRequestHandler.log_request = lambda *args: None
logging.getLogger("werkzeug").addFilter(lambda record: "Running on" in record.getMessage())

main()
