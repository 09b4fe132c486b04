package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// encodeDocument turns a JSON object into a map attribute. Numbers keep every
// digit; one that DynamoDB could not keep is an error.
func encodeDocument(doc json.RawMessage) (types.AttributeValue, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil || v == nil {
		return nil, errors.New("document is not a JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("document has more than one JSON value")
	}
	return encodeValue(v)
}

func encodeValue(v any) (types.AttributeValue, error) {
	switch v := v.(type) {
	case nil:
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}, nil
	case string:
		return text(v), nil
	case json.Number:
		return encodeNumber(v.String())
	case []any:
		list := make([]types.AttributeValue, len(v))
		for i, e := range v {
			av, err := encodeValue(e)
			if err != nil {
				return nil, err
			}
			list[i] = av
		}
		return &types.AttributeValueMemberL{Value: list}, nil
	case map[string]any:
		m := make(map[string]types.AttributeValue, len(v))
		for k, e := range v {
			av, err := encodeValue(e)
			if err != nil {
				return nil, err
			}
			m[escapeName(k)] = av
		}
		return &types.AttributeValueMemberM{Value: m}, nil
	default:
		return nil, fmt.Errorf("a value of type %T has no attribute type", v)
	}
}

// escapeName makes a name that DynamoDB takes: it knows no empty ones.
func escapeName(name string) string {
	if name == "" || name[0] == 0 {
		return "\x00" + name
	}
	return name
}

func unescapeName(name string) string { return strings.TrimPrefix(name, "\x00") }

// encodeNumber checks that DynamoDB keeps a number exactly: 38 significant
// digits, and a magnitude from 1e-130 to below 1e126.
func encodeNumber(s string) (types.AttributeValue, error) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(s, "-")), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return &types.AttributeValueMemberN{Value: "0"}, nil
	}
	exp := 0
	if exponent != "" {
		var err error
		if exp, err = strconv.Atoi(exponent); err != nil {
			return nil, errors.New("number is beyond DynamoDB's range")
		}
	}
	// The power of ten of the first digit that is not 0.
	magnitude := exp + len(digits) - len(fraction) - 1
	if magnitude < -130 || magnitude > 125 {
		return nil, errors.New("number is beyond DynamoDB's range")
	}
	if len(strings.TrimRight(digits, "0")) > 38 {
		return nil, errors.New("number has more than 38 digits")
	}
	return &types.AttributeValueMemberN{Value: s}, nil
}

// decodeDocument turns a map attribute back into JSON. Keys come sorted.
func decodeDocument(av types.AttributeValue) (json.RawMessage, error) {
	v, err := decodeValue(av)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, errors.New("document holds what JSON cannot")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func decodeValue(av types.AttributeValue) (any, error) {
	switch av := av.(type) {
	case *types.AttributeValueMemberNULL:
		return nil, nil
	case *types.AttributeValueMemberBOOL:
		return av.Value, nil
	case *types.AttributeValueMemberS:
		return av.Value, nil
	case *types.AttributeValueMemberN:
		return json.Number(av.Value), nil
	case *types.AttributeValueMemberL:
		list := make([]any, len(av.Value))
		for i, e := range av.Value {
			v, err := decodeValue(e)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case *types.AttributeValueMemberM:
		m := make(map[string]any, len(av.Value))
		for k, e := range av.Value {
			v, err := decodeValue(e)
			if err != nil {
				return nil, err
			}
			m[unescapeName(k)] = v
		}
		return m, nil
	default:
		return nil, fmt.Errorf("an attribute of type %T is not of ours", av)
	}
}
