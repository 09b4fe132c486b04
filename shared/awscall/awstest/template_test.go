package awstest

import (
	"os"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// templateTable is what template.yaml says about a table's keys.
type templateTable struct {
	Properties struct {
		AttributeDefinitions []struct {
			Name string `yaml:"AttributeName"`
			Type string `yaml:"AttributeType"`
		} `yaml:"AttributeDefinitions"`
		KeySchema templateKeys `yaml:"KeySchema"`
		Indexes   []struct {
			Name       string       `yaml:"IndexName"`
			KeySchema  templateKeys `yaml:"KeySchema"`
			Projection struct {
				Type string `yaml:"ProjectionType"`
			} `yaml:"Projection"`
		} `yaml:"GlobalSecondaryIndexes"`
	} `yaml:"Properties"`
}

type templateKeys []struct {
	Name string `yaml:"AttributeName"`
	Type string `yaml:"KeyType"`
}

func (k templateKeys) elements() []ddb.KeySchemaElement {
	var out []ddb.KeySchemaElement
	for _, e := range k {
		out = append(out, ddb.KeySchemaElement{AttributeName: new(e.Name), KeyType: ddb.KeyType(e.Type)})
	}
	return out
}

// input is the table as CreateTable would be told.
func (tt templateTable) input() *dynamodb.CreateTableInput {
	p := tt.Properties
	in := &dynamodb.CreateTableInput{KeySchema: p.KeySchema.elements()}
	for _, a := range p.AttributeDefinitions {
		in.AttributeDefinitions = append(in.AttributeDefinitions,
			ddb.AttributeDefinition{AttributeName: new(a.Name), AttributeType: ddb.ScalarAttributeType(a.Type)})
	}
	for _, i := range p.Indexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, ddb.GlobalSecondaryIndex{
			IndexName: new(i.Name), KeySchema: i.KeySchema.elements(),
			Projection: &ddb.Projection{ProjectionType: ddb.ProjectionType(i.Projection.Type)},
		})
	}
	return in
}

func TestTablesAreThoseOfTheTemplate(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]templateTable `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(data, &template); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]*dynamodb.CreateTableInput{"LedgerTable": ledger(), "RecordsTable": records()} {
		got := template.Resources[name].input()
		for what, pair := range map[string][2]any{
			"attributes": {want.AttributeDefinitions, got.AttributeDefinitions},
			"keys":       {want.KeySchema, got.KeySchema},
			"indexes":    {want.GlobalSecondaryIndexes, got.GlobalSecondaryIndexes},
		} {
			if diff := cmp.Diff(pair[0], pair[1], cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
				t.Errorf("%s: %s (-tests +template):\n%s", name, what, diff)
			}
		}
	}
}
