module github.com/fusionai/sdk-go-behaviours

go 1.19

require github.com/fusionai/sdk-go v0.1.0

replace github.com/fusionai/sdk-go => ../../../producer/client/go
