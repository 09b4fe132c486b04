"""Writes a SAM template in the form that CloudFormation gets, as JSON.

    .venv/sam/bin/python .ci/aws/transform.py template.yaml .venv/template.json

The translator is the very library that AWS runs behind the transform
AWS::Serverless-2016-10-31. It asks nobody here: the code's place in S3, which
`sam deploy` fills in, is an invented one, and a managed policy, whose address
only AWS could tell, is an error. Nothing is written unless all of it succeeds.
"""

import json
import os
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

FUNCTION = "AWS::Serverless::Function"
CODE = "s3://code.example.test/bootstrap.zip"
REGION = "eu-central-1"


class NoManagedPolicies:
    """Answers for AWS, which would be asked for the policies it manages."""

    def load(self):
        return {}


def main(source, target):
    with open(source, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    template.get("Globals", {}).get(FUNCTION.rpartition("::")[2], {}).pop("CodeUri", None)
    for resource in template["Resources"].values():
        if resource["Type"] == FUNCTION:
            resource["Properties"]["CodeUri"] = CODE
    os.environ["AWS_DEFAULT_REGION"] = REGION  # the translator asks for one
    result = transform(template, {}, NoManagedPolicies())
    part = f"{target}.{os.getpid()}"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    os.replace(part, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
